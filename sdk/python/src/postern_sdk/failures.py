"""Why something did not work: one exception a code of the contract.

A plugin raises them; the host decides whether and when to try again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


class Failure(Exception):
    """The base of all. The message is one line for people: what was tried, on what, and what to do.

    Never put a secret value, a credential or what a backend answered into a message.
    """

    code = "internal"

    def __init__(
        self,
        message: str,
        *,
        retry_after_ms: int | None = None,
        detail: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_ms = retry_after_ms
        self.detail = dict(detail or {})

    @staticmethod
    def of(
        code: str,
        message: str,
        *,
        retry_after_ms: int | None = None,
        detail: Mapping[str, str] | None = None,
    ) -> Failure:
        """A failure by its code; of a code that is not known here, the base with that code."""
        kind = _BY_CODE.get(code, Failure)
        failure = kind(message, retry_after_ms=retry_after_ms, detail=detail)
        failure.code = code
        return failure


class Absent(Failure):
    """The backend said with authority that this object or property does not exist. The only one that may lead to a
    deletion: where you are not sure, raise `NotFound`."""

    code = "absent"


class NotFound(Failure):
    """Anything else that is not there, such as a mount, a project or a route."""

    code = "not-found"


class Denied(Failure):
    """The backend knows us and refuses."""

    code = "denied"


class Unauthenticated(Failure):
    """The backend does not, or no longer, know us: a new login may help."""

    code = "unauthenticated"


class InvalidRequest(Failure):
    """This request cannot work, whoever makes it."""

    code = "invalid-request"


class Conflict(Failure):
    """Somebody else wrote first."""

    code = "conflict"


class RateLimited(Failure):
    """The backend asks to be called less often; `retry_after_ms` says for how long, where it told."""

    code = "rate-limited"


class Unavailable(Failure):
    """The backend cannot answer now."""

    code = "unavailable"


class Timeout(Failure):
    """The backend did not answer in time."""

    code = "timeout"


class Unsupported(Failure):
    """This provider does not do that."""

    code = "unsupported"


class Internal(Failure):
    """A fault of the plugin, or an answer that it does not understand."""

    code = "internal"


@dataclass(frozen=True)
class Problem:
    """Something wrong with a config: where (a JSON Pointer, empty for the whole), and what would be right."""

    pointer: str
    message: str


class InvalidConfig(Failure):
    """The store's config cannot work. `examine` raises it with one problem a field."""

    code = "invalid-config"

    def __init__(
        self,
        *problems: Problem | str,
        retry_after_ms: int | None = None,
        detail: Mapping[str, str] | None = None,
    ) -> None:
        self.problems = tuple(p if isinstance(p, Problem) else Problem("", p) for p in problems)
        text = "; ".join(f"{p.pointer}: {p.message}" if p.pointer else p.message for p in self.problems)
        super().__init__(text, retry_after_ms=retry_after_ms, detail=detail)


_BY_CODE: dict[str, type[Failure]] = {
    kind.code: kind
    for kind in (
        Absent,
        NotFound,
        Denied,
        Unauthenticated,
        InvalidRequest,
        Conflict,
        RateLimited,
        Unavailable,
        Timeout,
        Unsupported,
        Internal,
        InvalidConfig,
    )
}
