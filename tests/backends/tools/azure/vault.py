"""Microsoft's own clients ask the servers of the test kit what the plugin asks them, and print what they got as JSON.

The argument is a file with: vault, directory, ca (a file), tenant, client, secret, certificate (a file of PEM).
"""

import base64
import json
import sys

from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
)
from azure.identity import CertificateCredential, ClientSecretCredential
from azure.keyvault.certificates import CertificateClient
from azure.keyvault.keys import KeyClient
from azure.keyvault.secrets import SecretClient

with open(sys.argv[1], encoding="utf-8") as file:
    given = json.load(file)

directory = {
    "authority": given["directory"],
    "disable_instance_discovery": True,
    "connection_verify": given["ca"],
}
# The vault is an address of the loopback, which is no name below that of the resource. Nothing is tried again, so that
# each request is one that is told of.
vault = {
    "vault_url": given["vault"],
    "connection_verify": given["ca"],
    "verify_challenge_resource": False,
    "retry_total": 0,
}


def by_secret(secret):
    return ClientSecretCredential(given["tenant"], given["client"], secret, **directory)


def error(call):
    """The class of an error, its status, and the vault's code of it."""
    try:
        call()
    except HttpResponseError as problem:
        kind = type(problem).__name__
        code = problem.error.code if problem.error else None
        return {"kind": kind, "status": problem.status_code, "code": code}
    return None


def refused(call):
    try:
        call()
    except ClientAuthenticationError as problem:
        return next((w.strip(":") for w in str(problem).split() if w.startswith("AADSTS")), "none")
    return None


def properties(of):
    stamp = lambda moment: moment and moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "tags": of.tags,
        "attribute.created": stamp(of.created_on),
        "attribute.updated": stamp(of.updated_on),
        "attribute.expires": stamp(of.expires_on),
        "attribute.notBefore": stamp(of.not_before),
    }


secrets = SecretClient(credential=by_secret(given["secret"]), **vault)
certificates = CertificateClient(credential=by_secret(given["secret"]), **vault)
keys = KeyClient(credential=by_secret(given["secret"]), **vault)

told = {}

# What the client writes, the plugin reads.
first = secrets.set_secret("by-client", "first", tags={"team": "a"}, content_type="text/plain")
second = secrets.set_secret("by-client", "second")
told["versions"] = [first.properties.version, second.properties.version]
told["of-first"] = secrets.get_secret("by-client", first.properties.version).value
told["all-versions"] = sorted(
    p.version for p in secrets.list_properties_of_secret_versions("by-client")
)
secrets.set_secret("switched-off", "x")
off = secrets.get_secret("switched-off").properties
secrets.update_secret_properties("switched-off", off.version, enabled=False)
secrets.set_secret("taken-away", "x")
secrets.begin_delete_secret("taken-away")

# What the test has put in.
db = secrets.get_secret("db")
told["value"] = db.value
told["version"] = db.properties.version
told["properties"] = properties(db.properties)
told["names"] = sorted(p.name for p in secrets.list_properties_of_secrets() if p.enabled)
told["certificate"] = base64.b64encode(certificates.get_certificate("tls").cer).decode()
told["pfx"] = secrets.get_secret("tls").value
key = keys.get_key("sign")
told["key"] = {"kid": key.id, "kty": key.key_type, "n": key.key.n.hex(), "e": key.key.e.hex()}

# What is refused.
told["missing"] = error(lambda: secrets.get_secret("none"))
told["missing-certificate"] = error(lambda: certificates.get_certificate("none"))
told["missing-key"] = error(lambda: keys.get_key("none"))
told["disabled"] = error(lambda: secrets.get_secret("switched-off"))
told["deleted"] = error(lambda: secrets.get_secret("taken-away"))
told["denied"] = error(lambda: secrets.get_secret("closed"))
told["is-not-found"] = issubclass(ResourceNotFoundError, HttpResponseError)
told["wrong-secret"] = refused(lambda: by_secret("wrong").get_token("https://vault.azure.net/.default"))

# The certificate opens as well as the secret.
with open(given["certificate"], "rb") as file:
    pem = file.read()
credential = CertificateCredential(
    given["tenant"], given["client"], certificate_data=pem, **directory
)
told["by-certificate"] = SecretClient(credential=credential, **vault).get_secret("db").value

json.dump(told, sys.stdout)
