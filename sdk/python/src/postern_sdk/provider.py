"""What a plugin implements.

Every call runs in a fresh copy of the component as it was when it was built: what a call leaves behind in an object or
a module is gone in the next.
"""

from __future__ import annotations

import typing
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic

from .failures import Failure
from .host import Host
from .types import (
    C,
    Context,
    Credentials,
    Descriptor,
    Job,
    Needs,
    Options,
    Outcome,
    Page,
    Query,
    Request,
    Session,
    Template,
    TemplateProblem,
)


class Provider(ABC, Generic[C]):
    """Reads values of one backend. `Provider[Config]` takes its config as that dataclass, `Provider[dict]` as it is."""

    config_type: type[Any] = dict

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        for base in getattr(cls, "__orig_bases__", ()):
            if typing.get_origin(base) is Provider:
                (argument,) = typing.get_args(base)
                if isinstance(argument, type):
                    cls.config_type = argument

    @abstractmethod
    def describe(self) -> Descriptor:
        """Pure and quick; called once when the plugin is loaded."""

    @abstractmethod
    def examine(self, config: C, credentials: Credentials, options: Options) -> Needs:
        """What the config needs; raises `InvalidConfig` for what the schema cannot say. Pure, and without a network.

        Called without credentials for the references, then with them for the endpoints. Among the options is
        `provider-key`: the key under `spec.provider` by which the store names this plugin."""

    @abstractmethod
    def probe(self, host: Host, context: Context[C]) -> None:
        """Can this store be used? Raises a failure if not. Cheap."""

    @abstractmethod
    def read(self, host: Host, context: Context[C], requests: Sequence[Request]) -> Sequence[Outcome]:
        """One outcome a request, in order. A failure that is raised is the outcome of all."""


class Login(ABC):
    """Mixin: credentials to a session. A provider that has it never sees a credential when it reads.
    List `login` under `interfaces` in postern.toml."""

    @abstractmethod
    def open(self, host: Host, context: Context[Any]) -> Session:
        """Opens a session; `Unauthenticated` where the backend does not accept the credentials."""

    @abstractmethod
    def renew(self, host: Host, context: Context[Any]) -> Session:
        """Extends the context's session. On a failure the host opens a new one."""

    @abstractmethod
    def close(self, host: Host, context: Context[Any]) -> None:
        """Ends the context's session. One that is not known at the backend is ended."""


class Find(ABC):
    """Mixin: searches the store. List `find` under `interfaces` in postern.toml."""

    @abstractmethod
    def find(self, host: Host, context: Context[Any], query: Query, after: str | None) -> Page:
        """One page; `after` is what the page before gave as `next`."""


class Engine(ABC):
    """A template engine. Write `world = "template-engine"` in postern.toml."""

    @abstractmethod
    def describe(self) -> Descriptor:
        """Pure and quick; called once when the plugin is loaded."""

    @abstractmethod
    def render(self, host: Host, jobs: Sequence[Job], options: dict[str, str]) -> Sequence[Sequence[bytes | Failure]]:
        """One list a job, one result a template, in order. Failures never quote data."""

    def check(self, templates: Sequence[Template], options: dict[str, str]) -> Sequence[TemplateProblem]:
        """Problems of the templates by themselves, without data."""
        return []
