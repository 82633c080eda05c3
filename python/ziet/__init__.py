"""Ziet: a decorated Python function becomes a durable, isolated, observable unit of work.

This package is what users import. It carries names only and loads nothing slow: every script, test and `ziet` command
that imports a project pays for what is imported here. So what it loads has its own `TYPE_CHECKING`, which type checkers
know by its name: importing `typing` would cost more than all the rest.
"""

from __future__ import annotations

from ziet import memory
from ziet._action import Action
from ziet._errors import (
    ActionError,
    DefinitionError,
    InputError,
    IntegrationError,
    MemoryValueError,
    OutputError,
    ZietError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ziet._client.async_client import AsyncClient
    from ziet._client.client import Client
    from ziet._client.documents import LogLine, Run, RunSummary
    from ziet._client.errors import (
        ClientError,
        ConnectionFailed,
        Forbidden,
        InvalidInput,
        NotFound,
        RunCancelled,
        RunFailed,
        TooManyRuns,
        Unauthorized,
        Unavailable,
        WaitTimeout,
    )

__all__ = [
    "Action",
    "ActionError",
    "AsyncClient",
    "Client",
    "ClientError",
    "ConnectionFailed",
    "DefinitionError",
    "Forbidden",
    "InputError",
    "IntegrationError",
    "InvalidInput",
    "LogLine",
    "MemoryValueError",
    "NotFound",
    "OutputError",
    "Run",
    "RunCancelled",
    "RunFailed",
    "RunSummary",
    "TooManyRuns",
    "Unauthorized",
    "Unavailable",
    "WaitTimeout",
    "ZietError",
    "__version__",
    "memory",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """What belongs to clients: most processes that import this package are none."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    homes = {"client": ("Client",), "async_client": ("AsyncClient",), "documents": ("LogLine", "Run", "RunSummary")}
    home = next((home for home, names in homes.items() if name in names), "errors")
    return getattr(import_module(f"ziet._client.{home}"), name)


def __dir__() -> list[str]:
    return __all__
