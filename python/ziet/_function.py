"""What can be told of a function without `inspect`, whose import alone costs more than defining a hundred actions."""

from __future__ import annotations

import types

from ziet._errors import DefinitionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# The flags of `code.co_flags`, which the language reference fixes.
_VARARGS = 0x04
_VARKEYWORDS = 0x08
_GENERATOR = 0x20
_COROUTINE = 0x80
_ITERABLE_COROUTINE = 0x100
_ASYNC_GENERATOR = 0x200

NO_DEFAULT: Any = object()
"""The default of a parameter that has none."""


class Place:
    """Where a function is defined; `line` is that of its first decorator."""

    def __init__(self, name: str, file: str, line: int) -> None:
        self.name = name
        self.file = file
        self.line = line

    def __str__(self) -> str:
        return f"{self.name} ({self.file}, line {self.line})"


def signature_owner(function: Callable[..., Any]) -> types.FunctionType | None:
    """The function whose signature counts: the innermost one that `functools.wraps` points to, None if it is none."""
    seen: set[int] = set()
    owner: Any = function
    while hasattr(owner, "__wrapped__") and id(owner) not in seen:
        seen.add(id(owner))
        owner = owner.__wrapped__
    return owner if isinstance(owner, types.FunctionType) else None


def place_of(function: types.FunctionType) -> Place:
    """Where the function that carries the signature of `function` is defined."""
    owner = signature_owner(function) or function
    return Place(owner.__name__, owner.__code__.co_filename, owner.__code__.co_firstlineno)


def definition_error(place: Place | str, wrong: str, instead: str) -> DefinitionError:
    """The one form of every wrong definition: where it is, what is wrong and what to write instead."""
    return DefinitionError(f"{place}: {wrong}; {instead}")


def is_async(function: types.FunctionType) -> bool:
    """Whether calling the function gives a coroutine. A wrapper counts as what it is, not as what it wraps."""
    return bool(function.__code__.co_flags & (_COROUTINE | _ITERABLE_COROUTINE))


def is_generator(function: types.FunctionType) -> bool:
    """Whether calling the function gives a generator or an async generator."""
    flags = function.__code__.co_flags
    return bool(flags & (_GENERATOR | _ASYNC_GENERATOR)) and not flags & _ITERABLE_COROUTINE


def positional_only(owner: types.FunctionType) -> tuple[str, ...]:
    """The names of the parameters before a `/`."""
    code = owner.__code__
    return code.co_varnames[: code.co_posonlyargcount]


def varargs(owner: types.FunctionType) -> str | None:
    """The name after the `*` of a function that takes any number of positional arguments."""
    code = owner.__code__
    if not code.co_flags & _VARARGS:
        return None
    return code.co_varnames[code.co_argcount + code.co_kwonlyargcount]


def varkeywords(owner: types.FunctionType) -> str | None:
    """The name after the `**` of a function that takes any keyword arguments."""
    code = owner.__code__
    if not code.co_flags & _VARKEYWORDS:
        return None
    return code.co_varnames[code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & _VARARGS)]


def parameters(owner: types.FunctionType) -> list[tuple[str, Any, bool]]:
    """The parameters that can be given by name, in the order of the signature: name, default, whether keyword-only."""
    code = owner.__code__
    names = code.co_varnames[: code.co_argcount]
    defaults = owner.__defaults__ or ()
    without_default = len(names) - len(defaults)
    positional = [
        (name, defaults[index - without_default] if index >= without_default else NO_DEFAULT, False)
        for index, name in enumerate(names)
    ]
    keyword_defaults = owner.__kwdefaults__ or {}
    keyword_only = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    return positional + [(name, keyword_defaults.get(name, NO_DEFAULT), True) for name in keyword_only]
