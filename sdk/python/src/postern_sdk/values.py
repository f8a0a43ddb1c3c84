"""How JSON values become bytes: a text as it is, anything else as JSON text."""

from __future__ import annotations

import json
import re
from typing import Any

from .failures import Absent, InvalidRequest
from .types import Part, Pick

_MISSING = object()


def to_bytes(value: Any) -> bytes:
    """A text as it is, anything else as JSON text."""
    if isinstance(value, str):
        return value.encode()
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def at(document: Any, path: str) -> Any:
    """What a dotted path leads to, such as `users.0.name`; a dot in a name is written `\\.`. `KeyError` where nothing
    is there."""
    for name in re.split(r"(?<!\\)\.", path):
        document = _step(document, name.replace("\\.", "."))
        if document is _MISSING:
            raise KeyError(path)
    return document


def take(body: bytes | str, pick: Pick, *, of: str) -> Part:
    """What a pick takes from an object's value: the whole of it, a property of the JSON that it holds, or members.

    `of` names the object in messages. Raises `Absent` for a property that is not there, `InvalidRequest` where the
    value is not of the kind that the pick needs."""
    if pick.property is None and not pick.members:
        return body
    try:
        value = json.loads(body)
    except ValueError:
        value = _MISSING
    if pick.property is not None:
        try:
            value = at(value, pick.property)
        except KeyError:
            raise Absent(f"{of} has no property {pick.property}: check the name") from None
    if not pick.members:
        return to_bytes(value)
    if not isinstance(value, dict):
        raise InvalidRequest(f"{of} is no JSON object, so it has no members: ask for its value instead")
    return {name: to_bytes(member) for name, member in value.items()}


def _step(document: Any, name: str) -> Any:
    if isinstance(document, dict):
        return document.get(name, _MISSING)
    if isinstance(document, list) and name.isascii() and name.isdecimal() and int(name) < len(document):
        return document[int(name)]
    return _MISSING
