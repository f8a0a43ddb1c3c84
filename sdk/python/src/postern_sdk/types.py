"""The plain data of the contract. What may hold a secret is left out of every `repr`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, Union

from .config import Reference as ConfigReference
from .failures import Failure, InvalidConfig, Problem

C = TypeVar("C")

Options = Mapping[str, str]
"""Further settings by name; a name that is not known is ignored."""


@dataclass(frozen=True)
class Ask:
    """Something the plugin wants to be allowed, such as `Ask("host", "*.example.com", why="…")`."""

    kind: str
    what: str
    why: str
    options: Options = field(default_factory=dict)


@dataclass(frozen=True)
class Descriptor:
    """What a plugin says of itself."""

    name: str
    version: str
    serves: Sequence[str]
    """Keys under `spec.provider`, or names of a template engine."""
    summary: str = ""
    asks: Sequence[Ask] = ()
    batch_size: int = 1
    """How many objects one `read` takes at most; 0 for any number, where one call reads the whole store."""
    config_schema: str | Mapping[str, Any] | None = None
    """JSON Schema 2020-12. Left out, it is made from the provider's config class."""
    options: Options = field(default_factory=dict)


@dataclass(frozen=True)
class Reference:
    """A reference that a config uses, by the JSON Pointer of its field."""

    pointer: str
    audiences: Sequence[str] = ()
    expires_in_s: int | None = None
    options: Options = field(default_factory=dict)

    @staticmethod
    def to(
        reference: ConfigReference,
        *,
        default_key: str | None = None,
        audiences: Sequence[str] = (),
        expires_in_s: int | None = None,
    ) -> Reference:
        """The reference that a field of the config holds; `default_key` is taken where it names no key."""
        options = {} if default_key is None else {"default-key": default_key}
        return Reference(reference.pointer, audiences, expires_in_s, options)


Material = Union[ConfigReference, str, bytes]
"""Where TLS material comes from: a reference of the config (or its JSON Pointer), or PEM bytes found in a credential."""


@dataclass(frozen=True)
class Endpoint:
    """A place that a config names (`https://host:port`), and how to speak TLS with it."""

    origin: str
    ca: Material | None = field(default=None, repr=False)
    client_certificate: Material | None = field(default=None, repr=False)
    client_key: Material | None = field(default=None, repr=False)
    server_name: str | None = None
    options: Options = field(default_factory=dict)


@dataclass(frozen=True)
class Needs:
    """What a config needs. What is not named here is not resolved and not reachable."""

    references: Sequence[Reference] = ()
    endpoints: Sequence[Endpoint] = ()
    per_namespace: bool = False
    """Whether what a read answers depends on the namespace that asks."""
    options: Options = field(default_factory=dict)


@dataclass(frozen=True)
class Credential:
    """What a reference led to."""

    pointer: str
    value: bytes = field(repr=False)
    attributes: Options = field(default_factory=dict, repr=False)


class Credentials(Mapping[str, Credential]):
    """Credentials by the JSON Pointer of their reference in the config."""

    def __init__(self, credentials: Sequence[Credential] = ()) -> None:
        self._by_pointer = {c.pointer: c for c in credentials}

    def __getitem__(self, pointer: str) -> Credential:
        return self._by_pointer[pointer]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_pointer)

    def __len__(self) -> int:
        return len(self._by_pointer)

    def of(self, reference: ConfigReference) -> bytes:
        """The value behind a reference of the config."""
        credential = self._by_pointer.get(reference.pointer)
        if credential is None:
            raise InvalidConfig(Problem(reference.pointer, "the reference is needed here and was not resolved"))
        return credential.value

    def text(self, reference: ConfigReference) -> str:
        """The same as text without the space around it: files of tokens often end in a line feed."""
        try:
            return self.of(reference).decode().strip()
        except UnicodeDecodeError:
            raise InvalidConfig(Problem(reference.pointer, "what it leads to is no UTF-8 text")) from None


@dataclass(frozen=True)
class Context(Generic[C]):
    """On whose behalf a call is made. Nothing else lasts from one call to the next."""

    config: C
    credentials: Credentials = field(default_factory=Credentials)
    session: bytes | None = field(default=None, repr=False)
    namespace: str | None = None
    deadline_ms: int = 0
    options: Options = field(default_factory=dict)


@dataclass(frozen=True)
class Pick:
    """What is taken from an object: the whole or a property, as bytes or as members by name."""

    property: str | None = None
    members: bool = False


Part = Union[bytes, str, Mapping[str, Union[bytes, str]], Failure]
"""What came of one pick: bytes (or a text), members by name, or why it failed."""


@dataclass(frozen=True)
class Request:
    """One object, fetched once, whatever is picked from it."""

    key: str
    picks: Sequence[Pick] = (Pick(),)
    version: str | None = None
    metadata: bool = False
    """Labels, tags or annotations instead of the value."""
    known: str | None = None
    """The tag that all who wait for this object have seen: the answer may be `Outcome.unchanged`."""
    options: Options = field(default_factory=dict)

    def outcome(self, take: Callable[[Pick], Part], *, tag: str | None = None) -> Outcome:
        """The outcome of applying `take` to each pick; one that raises a failure is no other's."""

        def attempt(pick: Pick) -> Part:
            try:
                return take(pick)
            except Failure as failure:
                return failure

        return Outcome([attempt(pick) for pick in self.picks], tag)


@dataclass(frozen=True)
class Outcome:
    """What came of one request, and the object's tag (a version, an ETag; at most 1 KiB)."""

    answer: Sequence[Part] | Failure | None = field(repr=False)
    """One part a pick; or why the object could not be read; or None where it has not changed."""
    tag: str | None = None
    options: Options = field(default_factory=dict)

    @staticmethod
    def unchanged(tag: str | None = None) -> Outcome:
        """What `known` stands for still holds."""
        return Outcome(None, tag)

    @staticmethod
    def failed(failure: Failure, tag: str | None = None) -> Outcome:
        """The object could not be read; raising the failure from `read` says so of all."""
        return Outcome(failure, tag)


@dataclass(frozen=True)
class Session:
    """What a login yields. Opaque to the host, which keeps it, renews it and hands it to every call."""

    token: bytes = field(repr=False)
    expires_in_ms: int | None = None
    options: Options = field(default_factory=dict)


@dataclass(frozen=True)
class Query:
    """What is searched for."""

    path: str | None = None
    tags: Options = field(default_factory=dict)
    name: str | None = None
    options: Options = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """One hit of a search."""

    key: str
    name: str | None = None
    version: str | None = None
    value: bytes | None = field(default=None, repr=False)
    tag: str | None = None
    options: Options = field(default_factory=dict)


@dataclass(frozen=True)
class Page:
    """A page of hits; `next` is what comes back as `after`, None on the last."""

    found: Sequence[Found]
    next: str | None = None
    names_applied: bool = False
    """The name expression has been applied, or does not apply."""
    options: Options = field(default_factory=dict)


@dataclass(frozen=True)
class Template:
    """One template, named after what it makes."""

    name: str
    source: str = field(repr=False)
    options: Options = field(default_factory=dict)


@dataclass(frozen=True)
class Datum:
    """A value at a path of names: `("user", "name")` is what a template calls `.user.name`."""

    path: Sequence[str]
    value: bytes = field(repr=False)


@dataclass(frozen=True)
class Job:
    """Templates over one set of data."""

    templates: Sequence[Template]
    data: Sequence[Datum]


@dataclass(frozen=True)
class TemplateProblem:
    """Something wrong with a template; line and column from 1, 0 where they are not known."""

    name: str
    message: str
    line: int = 0
    column: int = 0
