"""A provider: Postern asks it for objects, it asks a backend. This one reads GET {url}/{key}; change what differs at yours.

Every call starts from the state in which this module was imported when it was built: what one call leaves in a variable, the
next does not see. Nothing here waits, repeats or caches; say what went wrong by raising a failure (Absent, Denied,
RateLimited …), and Postern decides what to do.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from postern_sdk import (
    Absent,
    Ask,
    Context,
    Credentials,
    Descriptor,
    Endpoint,
    Failure,
    Host,
    HttpRequest,
    HttpResponse,
    InvalidConfig,
    Needs,
    Outcome,
    Problem,
    Provider,
    Reference,
    Request,
    SecretKey,
    Unsupported,
    setting,
)
from postern_sdk.http import origin
from postern_sdk.values import take

# Goes to Postern's log. Never log what a backend answered: Postern cannot tell a value in it.
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SecretRef:
    # A reference to a key of a Secret. Postern reads the Secret; the plugin never sees the Kubernetes API.
    token: SecretKey


@dataclass(frozen=True)
class Auth:
    secret_ref: SecretRef


@dataclass(frozen=True)
class Config:
    """What may stand under spec.provider.templateProvider, in camelCase. Its JSON Schema is made from this class."""

    url: str = setting(description="Where the objects lie, such as https://secrets.example.com/v1.", min_length=1)
    auth: Auth | None = None


class TemplateProvider(Provider[Config]):
    def describe(self) -> Descriptor:
        return Descriptor(
            name="template-provider",
            version="0.1.0",
            # The key under spec.provider of a store.
            serves=["templateProvider"],
            summary="reads objects over HTTP, one a key",
            # What an administrator has to allow. A plugin reaches what it asks for, a grant allows and a store names.
            asks=[Ask("host", "*", why="the server that a store names")],
            # So many objects come in one call of `read` at most. 0 would mean any number, for a backend that gives all at once.
            batch_size=20,
        )

    def examine(self, config: Config, credentials: Credentials, options: object) -> Needs:
        """What this config needs: the Secrets that Postern reads for us, and the places we talk to. No network here."""
        try:
            server = origin(config.url)
        except ValueError as wrong:
            raise InvalidConfig(Problem("/url", str(wrong))) from None
        references = [Reference.to(config.auth.secret_ref.token)] if config.auth else []
        return Needs(references, [Endpoint(server)])

    def probe(self, host: Host, context: Context[Config]) -> None:
        """Can this store be used? Cheap. An answer of 404 shows a server that lets us in."""
        response = host.http.get(address(context, ""), headers(context))
        if response.status != 404:
            response.raise_for_status("reaching the server")

    def read(self, host: Host, context: Context[Config], requests: Sequence[Request]) -> Sequence[Outcome]:
        """One outcome a request, in the same order. One object's failure is no other's."""
        sent = [HttpRequest("GET", address(context, r.key), headers(context, r.known)) for r in requests]
        log.debug("read", extra={"fields": {"objects": len(requests)}})
        # All at once: a batch takes as long as its slowest request.
        return [outcome(r, answer) for r, answer in zip(requests, host.http.send_all(sent))]


def address(context: Context[Config], key: str) -> str:
    return f"{context.config.url.rstrip('/')}/{quote(key)}"


def headers(context: Context[Config], known: str | None = None) -> dict[str, str]:
    sent = {}
    if context.config.auth:
        sent["authorization"] = f"Bearer {context.credentials.text(context.config.auth.secret_ref.token)}"
    if known is not None:
        # What Postern saw last: an answer of 304 costs the backend nothing.
        sent["if-none-match"] = known
    return sent


def outcome(request: Request, answer: HttpResponse | Failure) -> Outcome:
    what = f"object {request.key}"
    if request.metadata or request.version is not None:
        return Outcome.failed(Unsupported(f"reading {what}: this server has no versions and no metadata; do not ask for them"))
    if isinstance(answer, Failure):
        # The host's own, such as a timeout or a door that no grant opens: passed on as it is.
        return Outcome.failed(answer)
    if answer.status == 304:
        return Outcome.unchanged(answer.etag or request.known)
    # Absent may lead to a deletion: only for an answer that says "this object does not exist". Elsewhere NotFound is right.
    failure = answer.failure(f"reading {what}", {404: Absent})
    if failure:
        return Outcome.failed(failure)
    # The object as it is, a property of a JSON object, or all its members.
    return request.outcome(lambda pick: take(answer.body, pick, of=what), tag=answer.etag)


# What the build looks for.
provider = TemplateProvider()
