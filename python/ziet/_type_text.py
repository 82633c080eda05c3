"""How a type hint is shown to people: as they would write it, without module names."""

from __future__ import annotations

import enum
import types
import typing
from typing import Any

import msgspec

from ziet._fields import is_alias, stands_for

_MOST_CHOICES = 10


def bare(hint: Any) -> Any:
    """The hint without `Annotated`, `NewType` and aliases around it."""
    while True:
        inner = typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Annotated else stands_for(hint)
        if inner is hint:
            return hint
        hint = inner


def union_members(hint: Any) -> tuple[Any, ...]:
    """The members of a union, the hint itself if it is none."""
    hint = bare(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return typing.get_args(hint)
    return (hint,)


def type_text(hint: Any) -> str:
    """A type hint as text, such as `list[int]` or `str | None`; an alias by its name."""
    if is_alias(hint):
        return _name(hint)
    hint = bare(hint)
    if hint is None or hint is type(None):
        return "None"
    if hint is ...:
        return "..."
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(type_text(member) for member in arguments)
    if origin is typing.Literal:
        return f"Literal[{', '.join(repr(value) for value in arguments)}]"
    if origin is not None:
        inner = ", ".join(type_text(argument) for argument in arguments)
        return f"{_name(origin)}[{inner}]" if inner else _name(origin)
    if isinstance(hint, list):
        return f"[{', '.join(type_text(member) for member in hint)}]"  # pyright: ignore[reportUnknownVariableType]
    return _name(hint)


def expected_text(hint: Any) -> str:
    """What a value of this hint must be: its type, or the values to choose from where there are only a few."""
    values = choices(hint)
    if not 0 < len(values) <= _MOST_CHOICES:
        return type_text(hint)
    texts = [msgspec.json.encode(value).decode() for value in values]
    return texts[0] if len(texts) == 1 else f"one of {', '.join(texts)}"


def choices(hint: Any) -> list[Any]:
    """The values of a Literal or an enum in the order in which they are written, none for any other hint.

    Flags can be combined, so that they are more than those written.
    """
    hint = bare(hint)
    if typing.get_origin(hint) is typing.Literal:
        return list(typing.get_args(hint))
    if isinstance(hint, type) and issubclass(hint, enum.Enum) and not issubclass(hint, enum.Flag):
        return list(hint)
    return []


def _name(hint: Any) -> str:
    return getattr(hint, "__name__", None) or str(hint).replace("typing.", "")
