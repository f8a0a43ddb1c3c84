"""What tests of a plugin need: a host that answers by a function of the test, and the calls as the host makes them.

    host = FakeHost(lambda request: HttpResponse(200, body=b"value"))
    (outcome,) = read(provider, host, [Request("db")], config={"url": "http://localhost"})
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import calls
from .failures import Failure, Unsupported
from .host import Files, Host, Http
from .http import HttpRequest, HttpResponse
from .provider import Provider
from .types import Context, Credential, Credentials, Needs, Outcome, Request

Answer = Callable[[HttpRequest], HttpResponse]


def _refuse(request: HttpRequest) -> HttpResponse:
    raise Unsupported(f"this test expects no request, but got {request.method} {request.url}")


class _Http(Http):
    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.requests: list[HttpRequest] = []
        self.batches: list[int] = []

    def send_all(self, requests: Sequence[HttpRequest]) -> list[HttpResponse | Failure]:
        self.batches.append(len(requests))
        return [self._one(request) for request in requests]

    def _one(self, request: HttpRequest) -> HttpResponse | Failure:
        self.requests.append(request)
        try:
            return self._answer(request)
        except Failure as failure:
            return failure


class FakeHost(Host):
    """Answers by a function; keeps what it was asked and what was logged. Time and randomness are always the same."""

    def __init__(self, answer: Answer = _refuse) -> None:
        self._http = self.http = _Http(answer)
        self.files = Files()
        self.logged: list[tuple[str, str, dict[str, object]]] = []

    @property
    def requests(self) -> list[HttpRequest]:
        """All requests, in order."""
        return self._http.requests

    @property
    def batches(self) -> list[int]:
        """How many requests went out together, each time."""
        return self._http.batches

    def log(self, level: str, message: str, **fields: object) -> None:
        self.logged.append((level, message, fields))

    def now_ns(self) -> int:
        return 1_700_000_000_000_000_000

    def random_bytes(self, count: int) -> bytes:
        return bytes(i % 256 for i in range(count))


def context(
    config: Mapping[str, Any], credentials: Mapping[str, bytes] | None = None, **more: Any
) -> Context[str]:
    """A context as the host gives it; credentials by the JSON Pointer of their reference."""
    given = [Credential(pointer, value) for pointer, value in (credentials or {}).items()]
    return Context(json.dumps(config), Credentials(given), **more)


def examine(
    provider: Provider[Any],
    config: Mapping[str, Any],
    credentials: Mapping[str, bytes] | None = None,
    options: Mapping[str, str] | None = None,
) -> Needs:
    """What a config needs; raises `InvalidConfig`."""
    return calls.examine(provider, json.dumps(config), context({}, credentials).credentials, options or {})


def probe(
    provider: Provider[Any],
    host: Host,
    config: Mapping[str, Any],
    credentials: Mapping[str, bytes] | None = None,
) -> None:
    """Can the store be used? Raises a failure if not."""
    calls.probe(provider, host, context(config, credentials))


def read(
    provider: Provider[Any],
    host: Host,
    requests: Sequence[Request],
    config: Mapping[str, Any],
    credentials: Mapping[str, bytes] | None = None,
) -> list[Outcome]:
    """Reads a batch, through all that stands between the host and a provider."""
    return calls.read(provider, host, context(config, credentials), requests)
