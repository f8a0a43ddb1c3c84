"""Makes the standard library tell the truth in a component, which has no clock, no randomness, no files and no terminal
of its own: what was there when it was built is frozen in it.

`random`, `secrets`, `uuid`, `time` and `datetime` draw from the host at each use; `print` goes to the host's log;
files, late imports and sleeping fail and say why. Without this, `random` would give the same numbers in every call, and
the rest would end the call without a word.
"""

from __future__ import annotations

import builtins
import datetime
import importlib
import io
import logging
import os
import random
import sys
import time
from collections.abc import Sequence
from typing import Any, NoReturn

from .host import Host, HostHandler

# What codecs and parsers import at first use only: in a component that is too late.
_LATE = (
    "_strptime",
    "encodings.ascii",
    "encodings.idna",
    "encodings.latin_1",
    "encodings.punycode",
    "encodings.utf_8",
    "secrets",
    "stringprep",
    "uuid",
)

_host: Host | None = None


def prepare() -> None:
    """Called once, when the component is built, before the plugin is imported."""
    for name in _LATE:
        importlib.import_module(name)
    _randomness()
    _clock()
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.raiseExceptions = False


def enter(host: Host) -> None:
    """Called at the start of a call; an instance lives for one."""
    global _host
    if _host is not None:
        return
    _host = host
    sys.meta_path[:] = [f for f in sys.meta_path if "PathFinder" not in repr(f)] + [_NoFinder()]
    builtins.open = io.open = _no_files
    for name in ("open", "stat", "lstat", "listdir", "scandir", "getcwd", "mkdir", "remove", "rename"):
        setattr(os, name, _no_files)
    sys.stdin, sys.stdout, sys.stderr = io.StringIO(), _Lines("info"), _Lines("warn")
    logging.getLogger().addHandler(HostHandler(host))
    logging.getLogger().setLevel(logging.DEBUG)


def _running(what: str) -> Host:
    if _host is None:
        raise RuntimeError(f"{what} while the component is built would be the same in every call: do it in a call")
    return _host


def _randomness() -> None:
    def urandom(count: int, /) -> bytes:
        return _running("a random draw").random_bytes(count)

    class Seeded(random.Random):
        def __new__(cls, seed: Any = None) -> Seeded:
            return super().__new__(cls, 0 if seed is None else seed)  # type: ignore[call-arg]

        def seed(self, a: Any = None, version: int = 2) -> None:
            super().seed(urandom(32) if a is None else a, version)

    os.urandom = urandom
    random._urandom = urandom  # type: ignore[attr-defined]
    system = random.SystemRandom()
    for name in random.__all__:
        if name[0].islower():
            setattr(random, name, getattr(system, name))
    random.Random = Seeded  # type: ignore[misc, assignment]


def _clock() -> None:
    built, monotonic = time.time_ns, time.monotonic_ns

    def time_ns() -> int:
        # The library reads the clock when it is imported, which is harmless.
        return built() if _host is None else _host.now_ns()

    def monotonic_ns() -> int:
        return monotonic() if _host is None else _host.now_ns()

    time.time_ns = time_ns
    time.monotonic_ns = time.perf_counter_ns = monotonic_ns
    time.time = lambda: time_ns() / 1e9
    time.monotonic = time.perf_counter = lambda: monotonic_ns() / 1e9
    time.sleep = _no_sleep
    gmtime, localtime, asctime, strftime = time.gmtime, time.localtime, time.asctime, time.strftime
    # There is no zone either: local time is UTC.
    time.gmtime = lambda seconds=None, /: gmtime(time.time() if seconds is None else seconds)
    time.localtime = lambda seconds=None, /: localtime(time.time() if seconds is None else seconds)
    time.asctime = lambda t=None, /: asctime(time.localtime() if t is None else t)
    time.ctime = lambda seconds=None, /: asctime(time.localtime(seconds))
    time.strftime = lambda form, t=None, /: strftime(form, time.localtime() if t is None else t)
    # The C implementation asks the system's clock; the one in Python asks `time`.
    written = importlib.import_module("_pydatetime")
    for name in datetime.__all__:
        setattr(datetime, name, getattr(written, name))


def _no_sleep(*_: object) -> NoReturn:
    raise RuntimeError("a plugin never sleeps: raise RateLimited or Unavailable, and the host tries again")


def _no_files(*_: object, **__: object) -> NoReturn:
    raise PermissionError("a component has no files: a granted directory is read by host.files")


class _NoFinder:
    def find_spec(self, name: str, *_: object) -> NoReturn:
        raise ModuleNotFoundError(f"{name} is imported during a call: import it at the top of the module", name=name)


class _Lines(io.TextIOBase):
    def __init__(self, level: str) -> None:
        self._level = level
        self._open = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        *lines, self._open = (self._open + text).split("\n")
        for line in lines:
            if line and _host is not None:
                _host.log(self._level, line)
        return len(text)

    def writelines(self, lines: Sequence[str], /) -> None:  # type: ignore[override]
        for line in lines:
            self.write(line)
