"""Runs Google's own client library against a server, and fails where it finds what Google does not document.

Takes the server's URL and a file with the key of a service account. Whatever the provider asks for is asked for here too, and
what tests put into the server by hand is put in here by calls of the library.
"""

import json
import sys

import google.auth.exceptions
import google.auth.transport.requests
from google.api_core import exceptions
from google.auth import credentials, identity_pool, impersonated_credentials
from google.cloud import secretmanager_v1
from google.oauth2 import credentials as bearer
from google.oauth2 import service_account

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
PROJECT = "projects/demo"
NUMBER = "projects/123456789012"


def client(url, who):
    transport = secretmanager_v1.services.secret_manager_service.transports.SecretManagerServiceRestTransport
    return secretmanager_v1.SecretManagerServiceClient(transport=transport(credentials=who, host=url))


def fails(kind, words, call, **arguments):
    try:
        call(timeout=10, retry=None, **arguments)
    except kind as error:
        assert type(error) is kind, (kind, error)
        assert words in str(error), (words, str(error))
        return error
    raise AssertionError(f"{arguments} did not fail with {kind}")


def values(api):
    """Everything about one secret: versions, states, bytes, labels."""
    name = f"{PROJECT}/secrets/sdk"
    fails(exceptions.NotFound, f"{NUMBER}/secrets/sdk] not found", api.access_secret_version, request={"name": f"{name}/versions/latest"})
    secret = api.create_secret(request={
        "parent": PROJECT, "secret_id": "sdk",
        "secret": {"replication": {"automatic": {}}, "labels": {"team": "a"}, "annotations": {"x.y/z": "w"}},
    })
    assert secret.name == f"{NUMBER}/secrets/sdk" and secret.etag, secret
    fails(exceptions.NotFound, "not found or has no versions", api.access_secret_version, request={"name": f"{name}/versions/latest"})
    payloads = [b"one", bytes(range(256)) * 256, b""]
    for number, data in enumerate(payloads, 1):
        made = api.add_secret_version(request={"parent": name, "payload": {"data": data}})
        assert made.name == f"{NUMBER}/secrets/sdk/versions/{number}", made
        assert made.state == secretmanager_v1.SecretVersion.State.ENABLED and made.create_time, made
        for version in (str(number), "latest"):
            read = api.access_secret_version(request={"name": f"{name}/versions/{version}"})
            assert read.name == made.name and read.payload.data == data, read.name
            assert read.payload.data_crc32c == crc32c(data), read.payload.data_crc32c
        known = api.get_secret_version(request={"name": f"{name}/versions/latest"})
        assert (known.name, known.create_time, known.etag) == (made.name, made.create_time, made.etag), known
    sums = {"data": b"x", "data_crc32c": 1}
    fails(exceptions.BadRequest, "CRC32C", api.add_secret_version, request={"parent": name, "payload": sums})

    api.disable_secret_version(request={"name": f"{name}/versions/3"})
    fails(exceptions.BadRequest, "is in DISABLED state", api.access_secret_version, request={"name": f"{name}/versions/latest"})
    api.destroy_secret_version(request={"name": f"{name}/versions/2"})
    fails(exceptions.BadRequest, "is in DESTROYED state", api.access_secret_version, request={"name": f"{name}/versions/2"})
    fails(exceptions.NotFound, "versions/9] not found", api.access_secret_version, request={"name": f"{name}/versions/9"})
    enabled = list(api.list_secret_versions(request={"parent": name, "filter": "state:ENABLED"}))
    assert [version.name.rsplit("/", 1)[1] for version in enabled] == ["1"], enabled
    everything = list(api.list_secret_versions(request={"parent": name, "page_size": 2}))
    assert [version.name.rsplit("/", 1)[1] for version in everything] == ["3", "2", "1"], everything

    found = api.get_secret(request={"name": name})
    assert dict(found.labels) == {"team": "a"} and dict(found.annotations) == {"x.y/z": "w"}, found
    api.delete_secret(request={"name": name})
    fails(exceptions.NotFound, "sdk] not found", api.get_secret, request={"name": name})


def lists(api):
    """Pages and filters."""
    labels = [{"team": "a"}, {"team": "a", "env": "prod"}, {"team": "b"}]
    for at, label in enumerate(labels):
        secret = {"replication": {"automatic": {}}, "labels": label}
        api.create_secret(request={"parent": PROJECT, "secret_id": f"list-{at}", "secret": secret})

    def ids(**request):
        found = api.list_secrets(request={"parent": PROJECT, "page_size": 2, **request})
        return sorted(secret.name.rsplit("/", 1)[1] for secret in found)

    assert ids() == ["list-0", "list-1", "list-2", "seed"], ids()
    assert ids(filter="labels.team=a") == ["list-0", "list-1"]
    assert ids(filter="labels.team=a labels.env=prod") == ["list-1"]
    assert ids(filter="labels.team=a name:list-0") == ["list-0"]
    place = f"{PROJECT}/locations/europe-west1"
    api.create_secret(request={"parent": place, "secret_id": "regional", "secret": {}})
    regional = [secret.name for secret in api.list_secrets(request={"parent": place})]
    assert regional == [f"{NUMBER}/locations/europe-west1/secrets/regional"], regional
    for at in range(len(labels)):
        api.delete_secret(request={"name": f"{PROJECT}/secrets/list-{at}"})


def refusals(url):
    """What errors are called by the library."""
    # The library takes a 401 for a token that has ended, and tries to get another.
    strange = client(url, bearer.Credentials("ya29.strange"))
    fails(google.auth.exceptions.RefreshError, "refresh", strange.get_secret, request={"name": f"{PROJECT}/secrets/x"})
    accessor = client(url, bearer.Credentials("ya29.accessor"))
    request = {"name": f"{PROJECT}/secrets/x/versions/latest"}
    error = fails(exceptions.Forbidden, "'secretmanager.versions.get' denied", accessor.get_secret_version, request=request)
    assert error.reason == "IAM_PERMISSION_DENIED", error.reason
    assert error.metadata["permission"] == "secretmanager.versions.get", error.metadata
    fails(exceptions.NotFound, "x] not found", accessor.access_secret_version, request=request)


def logins(url, key):
    """Each way to a token that the provider has too."""
    request = google.auth.transport.requests.Request()
    by_key = service_account.Credentials.from_service_account_file(key, scopes=[SCOPE])
    by_key.refresh(request)
    reads(url, by_key)
    reads(url, service_account.Credentials.from_service_account_file(key).with_always_use_jwt_access(True))

    class Supplier(identity_pool.SubjectTokenSupplier):
        def get_subject_token(self, context, request):
            return "subject-of-the-sdk"

    pool = identity_pool.Credentials(
        audience="//iam.googleapis.com/pool", subject_token_type="urn:ietf:params:oauth:token-type:jwt",
        token_url=f"{url}/v1/token", subject_token_supplier=Supplier(), scopes=[SCOPE])
    pool.refresh(request)
    reads(url, pool)
    acting = impersonated_credentials.Credentials(
        source_credentials=pool, target_principal="acting@demo.iam.gserviceaccount.com", target_scopes=[SCOPE],
        iam_endpoint_override=f"{url}/v1/projects/-/serviceAccounts/acting@demo.iam.gserviceaccount.com:generateAccessToken")
    acting.refresh(request)
    assert acting.expiry, "a token that is given for a service account ends"
    reads(url, acting)


def reads(url, who):
    api = client(url, who)
    data = api.access_secret_version(request={"name": f"{PROJECT}/secrets/seed/versions/latest"}).payload.data
    assert data == b"seed", data


def crc32c(data):
    total = 0xFFFFFFFF
    for byte in data:
        total ^= byte
        for _ in range(8):
            total = (total >> 1) ^ (0x82F63B78 if total & 1 else 0)
    return total ^ 0xFFFFFFFF


def main():
    url, key = sys.argv[1:]
    api = client(url, service_account.Credentials.from_service_account_file(key, scopes=[SCOPE]))
    assert isinstance(api.transport._credentials, credentials.Credentials)
    values(api)
    lists(api)
    refusals(url)
    logins(url, key)
    print(json.dumps({"library": secretmanager_v1.__version__}))


main()
