"""The calls of the contract in plain Python: the config is parsed, a fault of the plugin becomes a failure, an answer of
the wrong shape is refused. The component and `postern_sdk.testing` both go through here."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from . import config as configs
from .failures import Failure, Internal, InvalidConfig
from .host import Host
from .provider import Engine, Find, Login, Provider
from .types import Context, Credentials, Descriptor, Job, Needs, Outcome, Page, Query, Request, Session

T = TypeVar("T")


def describe(plugin: Provider[Any] | Engine) -> Descriptor:
    """The descriptor, with its schema as text."""
    descriptor = plugin.describe()
    schema = descriptor.config_schema
    if schema is None:
        typed = isinstance(plugin, Provider) and dataclasses.is_dataclass(plugin.config_type)
        schema = configs.schema(plugin.config_type) if typed else {"type": "object"}  # type: ignore[union-attr]
    text = schema if isinstance(schema, str) else json.dumps(schema)
    return dataclasses.replace(descriptor, config_schema=text)


def examine(
    provider: Provider[Any], config: str, credentials: Credentials, options: Mapping[str, str]
) -> Needs:
    """Raises `InvalidConfig`, and nothing else."""
    try:
        return guarded(lambda: provider.examine(_config(provider, config), credentials, options))
    except InvalidConfig:
        raise
    except Failure as failure:
        raise InvalidConfig(failure.message) from None


def probe(provider: Provider[Any], host: Host, context: Context[str]) -> None:
    """Raises a `Failure`, and nothing else."""
    guarded(lambda: provider.probe(host, _typed(provider, context)))


def read(
    provider: Provider[Any], host: Host, context: Context[str], requests: Sequence[Request]
) -> list[Outcome]:
    """One outcome a request; never raises."""
    try:
        outcomes = list(guarded(lambda: provider.read(host, _typed(provider, context), requests)))
        if len(outcomes) != len(requests):
            raise Internal(f"a fault of the plugin: {len(outcomes)} outcomes for {len(requests)} requests")
        for request, outcome in zip(requests, outcomes):
            _check(request, outcome)
    except Failure as failure:
        return [Outcome.failed(failure) for _ in requests]
    return outcomes


def session(
    provider: Login, step: Callable[[Host, Context[Any]], T], host: Host, context: Context[str]
) -> T:
    """One of `open`, `renew` and `close` of a login."""
    return guarded(lambda: step(host, _typed(provider, context)))


def find(provider: Find, host: Host, context: Context[str], query: Query, after: str | None) -> Page:
    """One page of a search."""
    return guarded(lambda: provider.find(host, _typed(provider, context), query, after))


def render(
    engine: Engine, host: Host, jobs: Sequence[Job], options: Mapping[str, str]
) -> list[list[bytes | Failure]]:
    """One list a job, one result a template; never raises."""
    try:
        return [list(results) for results in guarded(lambda: engine.render(host, jobs, dict(options)))]
    except Failure as failure:
        return [[failure for _ in job.templates] for job in jobs]


def guarded(call: Callable[[], T]) -> T:
    """Turns any exception but a failure into `Internal`, which tells its type and place, never its text: that may quote
    a value."""
    try:
        return call()
    except Failure:
        raise
    except (Exception, SystemExit) as error:
        raise Internal(f"a fault of the plugin: {type(error).__name__}{_place(error)}; tell its author") from None


def _place(error: BaseException) -> str:
    # The module `traceback` would look for the source, and a component has no files.
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    if frame is None:
        return ""
    return f" at {frame.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{frame.tb_lineno}"


def _typed(provider: object, context: Context[str]) -> Context[Any]:
    return dataclasses.replace(context, config=_config(provider, context.config))


def _config(provider: object, text: str) -> Any:
    try:
        document = json.loads(text)
    except ValueError:
        raise InvalidConfig("the config is no JSON") from None
    kind = getattr(provider, "config_type", dict)
    return configs.parse(kind, document) if dataclasses.is_dataclass(kind) else document


def _check(request: Request, outcome: Outcome) -> None:
    if outcome.answer is None:
        if request.known is None:
            raise Internal("a fault of the plugin: `unchanged` where no tag was given")
    elif not isinstance(outcome.answer, Failure) and len(outcome.answer) != len(request.picks):
        raise Internal(f"a fault of the plugin: {len(outcome.answer)} parts for {len(request.picks)} picks")


__all__ = ["Session", "describe", "examine", "find", "guarded", "probe", "read", "render", "session"]
