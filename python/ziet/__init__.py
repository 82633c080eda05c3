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

__all__ = [
    "Action",
    "ActionError",
    "DefinitionError",
    "InputError",
    "IntegrationError",
    "MemoryValueError",
    "OutputError",
    "ZietError",
    "__version__",
    "memory",
]

__version__ = "0.1.0"
