"""What the host offers, as plain Python. In a component it leads to the host; natively a test gives its own
(see `postern_sdk.testing`)."""

from __future__ import annotations

import datetime
import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .failures import Failure, Unsupported
from .http import HttpRequest, HttpResponse

if TYPE_CHECKING:
    from .types import Job


class Http(ABC):
    """The only way to the network: to the endpoints that `examine` named and a grant allows.

    The host speaks TLS, follows no redirect and decompresses nothing. A status of 400 or more is a response."""

    @abstractmethod
    def send_all(self, requests: Sequence[HttpRequest]) -> list[HttpResponse | Failure]:
        """Many exchanges in parallel; answers in the order of the requests."""

    def send(self, request: HttpRequest) -> HttpResponse:
        """One exchange. Raises what the host says of one that did not happen; pass that on as it is."""
        (answer,) = self.send_all([request])
        if isinstance(answer, Failure):
            raise answer
        return answer

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> HttpResponse:
        """One GET."""
        return self.send(HttpRequest("GET", url, headers or {}))


class Files:
    """Directories that a grant names, by that name."""

    def read(self, root: str, path: str) -> bytes:
        """A file of at most 1 MiB."""
        raise Unsupported("this host has no files")

    def list_dir(self, root: str, path: str = "") -> list[str]:
        """Names in a directory, sorted; those of directories end in `/`."""
        raise Unsupported("this host has no files")


class Host(ABC):
    """All doors together."""

    http: Http
    files: Files

    @abstractmethod
    def log(self, level: str, message: str, **fields: object) -> None:
        """A line in the operator's log: `error`, `warn`, `info` or `debug`. The host takes out credentials it gave;
        what a backend answered it does not know, so never log that. `logging` leads here too."""

    @abstractmethod
    def now_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC."""

    @abstractmethod
    def random_bytes(self, count: int) -> bytes:
        """Bytes of the system's generator, fit for keys."""

    def now(self) -> datetime.datetime:
        """The time, in UTC."""
        return datetime.datetime.fromtimestamp(self.now_ns() / 1e9, datetime.timezone.utc)

    def render(self, jobs: Sequence[Job], options: Mapping[str, str] | None = None) -> list[list[bytes | Failure]]:
        """Renders templates by the host's engine, for a provider whose requests are templates."""
        raise Unsupported("this host has no template engine")


_LEVELS = ((logging.ERROR, "error"), (logging.WARNING, "warn"), (logging.INFO, "info"))


class HostHandler(logging.Handler):
    """Sends records of `logging` to the host's log. Fields come by `extra={"fields": {…}}`.

    In a component it is installed at the root; of an exception it tells the type only, for its text may hold a value."""

    def __init__(self, host: Host) -> None:
        super().__init__()
        self._host = host

    def emit(self, record: logging.LogRecord) -> None:
        level = next((name for least, name in _LEVELS if record.levelno >= least), "debug")
        fields: dict[str, Any] = dict(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[0]:
            fields.setdefault("exception", record.exc_info[0].__name__)
        self._host.log(level, record.getMessage(), **fields)
