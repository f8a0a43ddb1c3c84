"""Typed configs: a dataclass says what a store may hold; the JSON Schema and the parsing follow from it.

    @dataclass(frozen=True)
    class Config:
        url: str = setting(description="Where the values are.", min_length=1)
        token: SecretKey | None = None

Fields are written in camelCase in a manifest. What is not a field is refused.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, Union

from .failures import InvalidConfig, Problem

C = TypeVar("C")

_SCALARS: dict[Any, tuple[str, str]] = {
    str: ("string", "a text"),
    int: ("integer", "a whole number"),
    float: ("number", "a number"),
    bool: ("boolean", "true or false"),
}
_KEYWORDS = {"description": "description", "min_length": "minLength", "pattern": "pattern", "minimum": "minimum"}


@dataclass(frozen=True)
class Reference:
    """The base of fields that the host resolves before a call."""

    name: str = field(metadata={"min_length": 1})
    namespace: str | None = None
    pointer: str = field(default="", kw_only=True, metadata={"internal": True})
    """Where the field stands in the config, as a JSON Pointer."""


@dataclass(frozen=True)
class SecretKey(Reference):
    """A key of a Secret."""

    key: str | None = None


@dataclass(frozen=True)
class ConfigMapKey(Reference):
    """A key of a ConfigMap."""

    key: str | None = None


@dataclass(frozen=True)
class CaProvider(Reference):
    """Roots for TLS in a Secret or a ConfigMap."""

    type: Literal["Secret", "ConfigMap"] = "Secret"
    key: str | None = None


@dataclass(frozen=True)
class ServiceAccount(Reference):
    """A service account, of which the host issues a token."""

    audiences: list[str] = field(default_factory=list)


_KINDS: dict[Any, str] = {
    SecretKey: "secret-key",
    ConfigMapKey: "config-map-key",
    CaProvider: "ca-provider",
    ServiceAccount: "service-account",
}


def setting(
    *,
    default: Any = dataclasses.MISSING,
    name: str | None = None,
    description: str | None = None,
    min_length: int | None = None,
    pattern: str | None = None,
    minimum: float | None = None,
) -> Any:
    """A field of a config class with what its schema says beyond the type. `name` is its name in manifests."""
    said = {
        "name": name,
        "description": description,
        "min_length": min_length,
        "pattern": pattern,
        "minimum": minimum,
    }
    return field(default=default, metadata={k: v for k, v in said.items() if v is not None})


def schema(config_type: type[Any]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a config class."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_schema_of(config_type)}


def parse(config_type: type[C], document: Any) -> C:
    """A config class from its JSON document; raises `InvalidConfig` with every problem. Values are never quoted."""
    problems: list[Problem] = []
    value = _parse(config_type, document, "", problems)
    if problems:
        raise InvalidConfig(*problems)
    return typing.cast(C, value)


def _fields(config_type: type[Any]) -> list[tuple[dataclasses.Field[Any], str, Any]]:
    hints = typing.get_type_hints(config_type)
    return [
        (f, f.metadata.get("name") or _camel(f.name), hints[f.name])
        for f in dataclasses.fields(config_type)
        if not f.metadata.get("internal")
    ]


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _required(f: dataclasses.Field[Any]) -> bool:
    return f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING


def _bare(kind: Any) -> tuple[Any, bool]:
    """A type without `None`, and whether it had that."""
    if typing.get_origin(kind) in (Union, types.UnionType):
        rest = [a for a in typing.get_args(kind) if a is not type(None)]
        if len(rest) == 1:
            return rest[0], True
        raise TypeError(f"a config field must be of one type or None, not {kind}")
    return kind, False


def _schema_of(kind: Any) -> dict[str, Any]:
    kind, _ = _bare(kind)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind in _SCALARS:
        return {"type": _SCALARS[kind][0]}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is list:
        return {"type": "array", "items": _schema_of(arguments[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema_of(arguments[1])}
    if kind in (dict, Any):
        return {"type": "object"}
    if dataclasses.is_dataclass(kind):
        return _schema_of_class(typing.cast(type, kind))
    raise TypeError(f"a config field cannot be of type {kind}")


def _schema_of_class(kind: type[Any]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    required: list[str] = []
    for f, name, hint in _fields(kind):
        own = _schema_of(hint)
        own.update({word: f.metadata[key] for key, word in _KEYWORDS.items() if key in f.metadata})
        if isinstance(f.default, (str, int, float)):
            own["default"] = f.default
        properties[name] = own
        if _required(f):
            required.append(name)
    made: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        made["required"] = required
    if kind in _KINDS:
        made["x-postern-ref"] = _KINDS[kind]
    return made


def _parse(kind: Any, value: Any, at: str, problems: list[Problem]) -> Any:
    kind, optional = _bare(kind)
    if value is None and optional:
        return None
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind in _SCALARS:
        # To Python true is a number, to JSON it is not.
        fits = (isinstance(value, bool) == (kind is bool)) and isinstance(value, (int, float) if kind is float else kind)
        return value if fits else _wrong(problems, at, f"must be {_SCALARS[kind][1]}")
    if origin is Literal:
        return value if value in arguments else _wrong(problems, at, f"must be one of {', '.join(map(str, arguments))}")
    if origin is list:
        if not isinstance(value, list):
            return _wrong(problems, at, "must be a list")
        return [_parse(arguments[0], item, f"{at}/{i}", problems) for i, item in enumerate(value)]
    if not isinstance(value, Mapping):
        return _wrong(problems, at, "must be an object")
    if origin is dict:
        return {k: _parse(arguments[1], v, f"{at}/{_escape(k)}", problems) for k, v in value.items()}
    if not dataclasses.is_dataclass(kind):
        return value
    return _parse_class(typing.cast(type, kind), value, at, problems)


def _parse_class(kind: type[Any], value: Mapping[str, Any], at: str, problems: list[Problem]) -> Any:
    before = len(problems)
    arguments: dict[str, Any] = {}
    known = set()
    for f, name, hint in _fields(kind):
        known.add(name)
        if name in value:
            arguments[f.name] = _parse(hint, value[name], f"{at}/{name}", problems)
        elif _required(f):
            _wrong(problems, f"{at}/{name}", "is needed and missing")
    for name in value:
        if name not in known:
            _wrong(problems, f"{at}/{_escape(name)}", f"is no field here; there are {', '.join(sorted(known))}")
    if len(problems) > before:
        return None
    if issubclass(kind, Reference):
        arguments["pointer"] = at
    return kind(**arguments)


def _wrong(problems: list[Problem], at: str, message: str) -> None:
    problems.append(Problem(at, message))


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
