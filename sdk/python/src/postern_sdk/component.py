"""Joins a plugin with the bindings that componentize-py generates. Only a component can import what this needs; natively
nothing here is used.

The build makes the module that componentize-py asks for its exports:

    from postern_sdk import component
    component.prepare()
    import the_plugin
    globals().update(component.exports(the_plugin))
"""

from __future__ import annotations

import gc
import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any, TypeVar

from . import _sandbox, calls
from .config import Reference as ConfigReference
from .failures import Failure, InvalidConfig
from .host import Files, Host, Http
from .http import HttpRequest, HttpResponse
from .provider import Engine, Find, Login, Provider
from .types import (
    Context,
    Credential,
    Credentials,
    Datum,
    Endpoint,
    Job,
    Outcome,
    Page,
    Part,
    Pick,
    Query,
    Request,
    Session,
    Template,
)

T = TypeVar("T")
Pairs = list[tuple[str, str]]

_BINDINGS = ("componentize_py_types", "wit_world.imports.types", "wit_world.imports.entropy")


def prepare() -> None:
    """Called first, before the plugin is imported."""
    _sandbox.prepare()


def exports(module: ModuleType) -> dict[str, type]:
    """The classes that componentize-py looks for, by the names of the contract's interfaces."""
    plugin = _plugin(module)
    # A call can import nothing any more: what it will need is imported now.
    for name in _BINDINGS:
        importlib.import_module(name)
    found = _engine(plugin) if isinstance(plugin, Engine) else _provider(plugin)
    _make_host()
    # A call that has an error of its own to tell should not meet one in the descriptor first.
    calls.describe(plugin)
    # An instance lives for one call: what was made until here is never garbage, and looking at it costs memory.
    gc.collect()
    gc.freeze()
    return found


def _plugin(module: ModuleType) -> Provider[Any] | Engine:
    for name, kind in (("provider", Provider), ("engine", Engine)):
        plugin = getattr(module, name, None)
        if isinstance(plugin, type):
            plugin = plugin()
        if isinstance(plugin, kind):
            return plugin
    raise TypeError(f"{module.__name__} has no `provider = MyProvider()` (or `engine = MyEngine()`)")


def _provider(provider: Provider[Any]) -> dict[str, type]:
    check, read = _exported("check"), _exported("read")

    class Check:
        def examine(self, config: str, credentials: Sequence[Any], options: Pairs) -> Any:
            _enter()
            try:
                needs = calls.examine(provider, config, _credentials(credentials), dict(options))
            except InvalidConfig as wrong:
                problems = [check.Problem(p.pointer, p.message, []) for p in wrong.problems]
                raise _err(problems or [check.Problem("", wrong.message, [])]) from None
            return check.Needs(
                needs.per_namespace,
                [check.Reference(r.pointer, list(r.audiences), r.expires_in_s, _pairs(r.options)) for r in needs.references],
                [_endpoint(check, e) for e in needs.endpoints],
                _pairs(needs.options),
            )

        def probe(self, context: Any) -> None:
            _raising(lambda: calls.probe(provider, _enter(), _context(context)))

    class Read:
        def get_batch(self, context: Any, requests: Sequence[Any]) -> list[Any]:
            asked = [
                Request(
                    r.key, [Pick(p.property, p.members) for p in r.picks], r.version, r.metadata, r.known, dict(r.options)
                )
                for r in requests
            ]
            return [_outcome(read, o) for o in calls.read(provider, _enter(), _context(context), asked)]

    found: dict[str, type] = {"Describe": _describe(provider), "Check": Check, "Read": Read}
    for name, mixin, make in (("login", Login, _login), ("find", Find, _find)):
        wanted, has = _has(name), isinstance(provider, mixin)
        if wanted != has:
            raise TypeError(
                f"the provider {'has no' if wanted else 'has the'} mixin {mixin.__name__}, and postern.toml "
                f"{'lists' if wanted else 'does not list'} `{name}` under interfaces: make them agree"
            )
        if has:
            found[name.capitalize()] = make(provider)
    return found


def _describe(plugin: Provider[Any] | Engine) -> type:
    bindings = _exported("describe")

    class Describe:
        def describe(self) -> Any:
            _enter()
            d = calls.describe(plugin)
            asks = [bindings.Ask(a.kind, a.what, a.why, _pairs(a.options)) for a in d.asks]
            return bindings.Descriptor(
                d.name, d.version, list(d.serves), d.config_schema, asks, d.batch_size, d.summary, _pairs(d.options)
            )

    return Describe


def _login(provider: Any) -> type:
    bindings = _exported("login")

    def session(made: Session) -> Any:
        return bindings.Session(made.token, made.expires_in_ms, _pairs(made.options))

    class LoginExport:
        def open(self, context: Any) -> Any:
            return _raising(lambda: session(calls.session(provider, provider.open, _enter(), _context(context))))

        def renew(self, context: Any) -> Any:
            return _raising(lambda: session(calls.session(provider, provider.renew, _enter(), _context(context))))

        def close(self, context: Any) -> None:
            _raising(lambda: calls.session(provider, provider.close, _enter(), _context(context)))

    return LoginExport


def _find(provider: Any) -> type:
    bindings = _exported("find")

    def page(made: Page) -> Any:
        found = [bindings.Found(f.key, f.name, f.version, f.value, f.tag, _pairs(f.options)) for f in made.found]
        return bindings.Page(found, made.next, made.names_applied, _pairs(made.options))

    class FindExport:
        def list_page(self, context: Any, query: Any, after: str | None) -> Any:
            asked = Query(query.path, dict(query.tags), query.name, dict(query.options))
            return _raising(lambda: page(calls.find(provider, _enter(), _context(context), asked, after)))

    return FindExport


def _engine(engine: Engine) -> dict[str, type]:
    bindings = _exported("render")

    def templates(given: Iterable[Any]) -> list[Template]:
        return [Template(t.name, t.source, dict(t.options)) for t in given]

    class Render:
        def render(self, jobs: Sequence[Any], options: Pairs) -> list[list[Any]]:
            asked = [Job(templates(j.templates), [Datum(d.path, d.value) for d in j.data]) for j in jobs]
            done = calls.render(engine, _enter(), asked, dict(options))
            return [[_result(r) for r in results] for results in done]

        def check(self, given: Sequence[Any], options: Pairs) -> list[Any]:
            _enter()
            problems = engine.check(templates(given), dict(options))
            return [bindings.Problem(p.name, p.line, p.column, p.message, []) for p in problems]

    return {"Describe": _describe(engine), "Render": Render}


# ---------------------------------------------------------------- the host's doors


class _Http(Http):
    def __init__(self, door: Any) -> None:
        self._door = door

    def send_all(self, requests: Sequence[HttpRequest]) -> list[HttpResponse | Failure]:
        sent = [self._door.Request(r.method, r.url, list(r.headers.items()), r.body, []) for r in requests]
        return [_answer(answer) for answer in self._door.send_all(sent)]


class _Files(Files):
    def __init__(self, door: Any) -> None:
        self._door = door

    def read(self, root: str, path: str) -> bytes:
        return _calling(lambda: bytes(self._door.read(root, path)))

    def list_dir(self, root: str, path: str = "") -> list[str]:
        return _calling(lambda: list(self._door.list_dir(root, path)))


class _ComponentHost(Host):
    def __init__(self) -> None:
        self._log, self._entropy, self._templating = map(_imported, ("log", "entropy", "templating"))
        self.http = _Http(_imported("http"))
        self.files = _Files(_imported("files"))

    def log(self, level: str, message: str, **fields: object) -> None:
        # A template engine has no log: what it renders may not leave by it.
        if self._log is not None:
            self._log.log(level, message, [(k, str(v)) for k, v in fields.items()])

    def now_ns(self) -> int:
        return int(self._entropy.now_ns())

    def random_bytes(self, count: int) -> bytes:
        words = (self._entropy.random_u64().to_bytes(8, "little") for _ in range(-(-count // 8)))
        return b"".join(words)[:count]

    def render(self, jobs: Sequence[Job], options: Mapping[str, str] | None = None) -> list[list[bytes | Failure]]:
        types = _imported("types")
        asked = [
            self._templating.Job(
                [types.Template(t.name, t.source, _pairs(t.options)) for t in job.templates],
                [types.Datum(list(d.path), d.value) for d in job.data],
            )
            for job in jobs
        ]
        done = self._templating.render(asked, _pairs(options or {}))
        return [[r.value if _ok(r) else _failure_in(r.value) for r in results] for results in done]


_host: _ComponentHost | None = None


def _make_host() -> _ComponentHost:
    global _host
    if _host is None:
        _host = _ComponentHost()
    return _host


def _enter() -> Host:
    host = _make_host()
    _sandbox.enter(host)
    return host


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(f"wit_world.imports.{name}")
    except ModuleNotFoundError:
        return None


def _exported(name: str) -> Any:
    return importlib.import_module(f"wit_world.exports.{name}")


def _has(name: str) -> bool:
    try:
        _exported(name)
    except ModuleNotFoundError:
        return False
    return True


# ---------------------------------------------------------------- between our types and the bindings'


def _err(value: Any) -> Exception:
    made: Exception = importlib.import_module("componentize_py_types").Err(value)
    return made


def _ok(result: Any) -> bool:
    return type(result).__name__ == "Ok"


def _raising(call: Callable[[], Any]) -> Any:
    try:
        return calls.guarded(call)
    except Failure as failure:
        raise _err(_failure(failure)) from None


def _calling(call: Callable[[], T]) -> T:
    try:
        return call()
    except Exception as error:
        value = getattr(error, "value", None)
        if value is None:
            raise
        raise _failure_in(value) from None


def _result(result: bytes | Failure) -> Any:
    kinds = importlib.import_module("componentize_py_types")
    return kinds.Err(_failure(result)) if isinstance(result, Failure) else kinds.Ok(_bytes(result))


def _failure(failure: Failure) -> Any:
    return _imported("types").Failure(
        failure.code, failure.message, failure.retry_after_ms, _pairs(failure.detail)
    )


def _failure_in(failure: Any) -> Failure:
    return Failure.of(
        failure.code, failure.message, retry_after_ms=failure.retry_after_ms, detail=dict(failure.detail)
    )


def _answer(answer: Any) -> HttpResponse | Failure:
    if not _ok(answer):
        return _failure_in(answer.value)
    response = answer.value
    return HttpResponse(response.status, dict(response.headers), response.body, tuple(response.headers))


def _credentials(credentials: Sequence[Any]) -> Credentials:
    return Credentials([Credential(c.pointer, c.value, dict(c.attributes)) for c in credentials])


def _context(context: Any) -> Context[str]:
    return Context(
        context.config,
        _credentials(context.credentials),
        context.session,
        context.namespace,
        context.deadline_ms,
        dict(context.options),
    )


def _endpoint(check: Any, endpoint: Endpoint) -> Any:
    def material(given: Any) -> Any:
        if given is None:
            return None
        if isinstance(given, bytes):
            return check.Material_Pem(given)
        return check.Material_Pointer(given.pointer if isinstance(given, ConfigReference) else given)

    return check.Endpoint(
        endpoint.origin,
        material(endpoint.ca),
        material(endpoint.client_certificate),
        material(endpoint.client_key),
        endpoint.server_name,
        _pairs(endpoint.options),
    )


def _outcome(read: Any, outcome: Outcome) -> Any:
    answer: Any
    if outcome.answer is None:
        answer = read.Answer_Unchanged()
    elif isinstance(outcome.answer, Failure):
        answer = read.Answer_Failed(_failure(outcome.answer))
    else:
        answer = read.Answer_Parts([_part(read, part) for part in outcome.answer])
    return read.Outcome(answer, outcome.tag, _pairs(outcome.options))


def _part(read: Any, part: Part) -> Any:
    if isinstance(part, Failure):
        return read.Part_Failed(_failure(part))
    if isinstance(part, Mapping):
        return read.Part_Members([(name, _bytes(value)) for name, value in part.items()])
    return read.Part_Value(_bytes(part))


def _bytes(value: bytes | str) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def _pairs(options: Mapping[str, str]) -> Pairs:
    return list(options.items())
