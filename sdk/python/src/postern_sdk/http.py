"""Requests and responses, and what a status means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from .failures import (
    Denied,
    Failure,
    Internal,
    NotFound,
    RateLimited,
    Unauthenticated,
    Unavailable,
)

_MEANINGS: dict[int, tuple[type[Failure], str]] = {
    401: (Unauthenticated, "the credential is wrong or has ended: renew it"),
    403: (Denied, "the credential may not do this: give it the right to"),
    404: (NotFound, "it is not there: check its name and the address"),
    429: (RateLimited, "it asks to be called less often"),
}


@dataclass(frozen=True)
class HttpRequest:
    """One request with an absolute URL."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class HttpResponse:
    """One response. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The last of each name; `all_headers` has them all."""
    body: bytes = field(default=b"", repr=False)
    all_headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def etag(self) -> str | None:
        """The object's tag."""
        return self.headers.get("etag")

    @property
    def retry_after_ms(self) -> int | None:
        """`Retry-After` where it is a number of seconds."""
        text = self.headers.get("retry-after", "").strip()
        # isdecimal alone also takes digits of other scripts.
        return int(text) * 1000 if text.isascii() and text.isdecimal() else None

    def json(self) -> Any:
        """The body as JSON. Raises `Internal` if it is none, without quoting it."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise Internal("the answer is no JSON: is this the right address?") from None

    def failure(self, tried: str, meanings: Mapping[int, type[Failure]] | None = None) -> Failure | None:
        """What a status other than 2xx means; `tried` opens the message, such as `reading the key db`.

        `meanings` overrides the class for a status: `{404: Absent}` where a 404 has that authority."""
        if 200 <= self.status < 300:
            return None
        kind, advice = _MEANINGS.get(self.status, (Internal, "this was not expected: is this the right address?"))
        if self.status >= 500:
            kind, advice = Unavailable, "it cannot answer now: see its own log"
        kind = (meanings or {}).get(self.status, kind)
        return kind(
            f"{tried}: the server answered {self.status}; {advice}",
            retry_after_ms=self.retry_after_ms,
            detail={"status": str(self.status)},
        )

    def raise_for_status(self, tried: str, meanings: Mapping[int, type[Failure]] | None = None) -> None:
        """Raises that failure, if any."""
        failure = self.failure(tried, meanings)
        if failure:
            raise failure


def query(parameters: Mapping[str, str | None]) -> str:
    """`?a=1&b=2` in the order given, percent-encoded; None leaves a parameter out."""
    given = {name: value for name, value in parameters.items() if value is not None}
    return "?" + urlencode(given, quote_via=quote, safe="") if given else ""


def origin(url: str, *, path: bool = True) -> str:
    """Scheme, host and port of an absolute URL. Raises `ValueError` with what is wrong; with `path=False` also where
    anything follows the port."""
    wanted = "must be http(s)://host[:port]"
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it is what checks it.
    except ValueError:
        raise ValueError(f"is no URL: it {wanted}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ValueError(f"{wanted}, without a user part")
    if any(c.isspace() or not c.isprintable() or c == "\\" for c in url):
        raise ValueError(f"{wanted}, without spaces or control characters")
    if "?" in url or "#" in url or (not path and parts.path):
        raise ValueError(f"{wanted}, without a {'query' if path else 'path or query'}")
    return f"{parts.scheme}://{parts.netloc}"
