"""Reads secrets from Doppler: one call downloads a whole config, and an ETag tells whether it has changed.

The request and what its answers mean follow https://docs.doppler.com/reference/secrets-download.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from postern_sdk import (
    Absent,
    Ask,
    Context,
    Credentials,
    Descriptor,
    Endpoint,
    Host,
    HttpRequest,
    Internal,
    InvalidConfig,
    Needs,
    Outcome,
    Part,
    Pick,
    Problem,
    Provider,
    Reference,
    Request,
    SecretKey,
    Unsupported,
    setting,
)
from postern_sdk.http import origin, query
from postern_sdk.values import take, to_bytes

log = logging.getLogger(__name__)

NameTransformer = Literal["upper-camel", "camel", "lower-snake", "tf-var", "dotnet-env", "lower-kebab"]
Format = Literal["json", "dotnet-json", "env", "yaml", "docker"]


@dataclass(frozen=True)
class SecretRef:
    doppler_token: SecretKey


@dataclass(frozen=True)
class Auth:
    secret_ref: SecretRef


@dataclass(frozen=True)
class Config:
    """What stands under `spec.provider.doppler`."""

    auth: Auth
    project: str | None = setting(default=None, description="Needed unless the token belongs to one config.")
    config: str | None = setting(default=None, description="The config in that project.")
    name_transformer: NameTransformer | None = None
    format: Format | None = None
    base_url: str = setting(default="https://api.doppler.com", description="Where the API is.")

    @property
    def token(self) -> SecretKey:
        return self.auth.secret_ref.doppler_token

    @property
    def what(self) -> str:
        """For messages."""
        return f"config {self.config or 'of the token'} of project {self.project or 'of the token'}"


class Doppler(Provider[Config]):
    def describe(self) -> Descriptor:
        return Descriptor(
            name="doppler-python",
            version="0.1.0",
            serves=["doppler"],
            summary="Secrets of a Doppler config",
            asks=[Ask("host", "*", why="the store's baseUrl, by default https://api.doppler.com")],
            batch_size=0,
        )

    def examine(self, config: Config, credentials: Credentials, options: object) -> Needs:
        problems = []
        try:
            api = origin(config.base_url, path=False)
        except ValueError as wrong:
            problems.append(Problem("/baseUrl", str(wrong)))
        if config.format not in (None, "json"):
            problems.append(Problem("/format", "only json is supported: remove it, a template can write other formats"))
        if problems:
            raise InvalidConfig(*problems)
        return Needs(
            references=[Reference.to(config.token, default_key="dopplerToken")],
            endpoints=[Endpoint(api)],
        )

    def probe(self, host: Host, context: Context[Config]) -> None:
        response = host.http.get(f"{context.config.base_url}/v3/me", headers(context))
        response.raise_for_status("asking Doppler who the token belongs to")

    def read(self, host: Host, context: Context[Config], requests: Sequence[Request]) -> Sequence[Outcome]:
        if not requests:
            return []
        config = context.config
        response = host.http.send(download(context, requests))
        log.debug("read", extra={"fields": {"status": response.status, "objects": len(requests)}})
        if response.status == 304:
            return [Outcome.unchanged(response.etag or request.known) for request in requests]
        response.raise_for_status(f"reading {config.what} from Doppler")
        values = response.json()
        if not isinstance(values, dict):
            raise Internal(f"reading {config.what} from Doppler: the answer is no JSON object; check baseUrl")
        return [outcome(config, values, request, response.etag) for request in requests]


def headers(context: Context[Config]) -> dict[str, str]:
    token = context.credentials.text(context.config.token)
    return {"accept": "application/json", "authorization": f"Bearer {token}"}


def download(context: Context[Config], requests: Sequence[Request]) -> HttpRequest:
    config = context.config
    parameters = {
        "format": "json",
        "project": config.project,
        "config": config.config,
        "name_transformer": config.name_transformer,
    }
    sent = headers(context)
    # One answer serves the whole batch: it may be `unchanged` only if that is true of each request.
    known = {request.known for request in requests}
    if len(known) == 1 and (tag := known.pop()) is not None:
        sent["if-none-match"] = tag
    return HttpRequest("GET", f"{config.base_url}/v3/configs/config/secrets/download{query(parameters)}", sent)


def outcome(config: Config, values: dict[str, Any], request: Request, tag: str | None) -> Outcome:
    if request.metadata or request.version is not None:
        unsupported = Unsupported(f"reading {request.key}: Doppler keeps no metadata or versions; ask for the value")
        return Outcome.failed(unsupported, tag)
    if request.key not in values:
        return Outcome.failed(Absent(f"{config.what} has no secret {request.key}: check the name"), tag)

    def taken(pick: Pick) -> Part:
        return take(to_bytes(values[request.key]), pick, of=f"secret {request.key} of {config.what}")

    return request.outcome(taken, tag=tag)


provider = Doppler()
