"""The type hints of an action's function, resolved.

Mistakes of the hints are told here, since reading them needs msgspec, which `import ziet` must not load.
"""

from __future__ import annotations

import collections.abc
import importlib
import types
import typing
from typing import TYPE_CHECKING, Any

from ziet._adapted import adapted
from ziet._fields import evaluated
from ziet._function import definition_error, signature_owner
from ziet._stand_ins import decoder
from ziet._type_text import type_text

if TYPE_CHECKING:
    from collections.abc import Callable

    import msgspec

    from ziet._action import ActionFunction

_AWAITABLES = (collections.abc.Awaitable, collections.abc.Coroutine)


class Hints:
    """The type hints of a function, each resolved by itself, so that a mistake is told of the one that has it."""

    def __init__(self, action: ActionFunction[..., Any]) -> None:
        owner = signature_owner(action.local)
        assert owner is not None
        self._place = action.place
        self.owner = owner
        """The function that carries the signature."""
        self._annotations = _annotations(owner)

    def of_parameter(self, name: str) -> Any:
        """The hint of a parameter, `Any` if it has none."""
        return self._hint(name, f"the type of parameter {name!r}")

    def of_return(self) -> Any:
        """The hint of the result, `Any` if it has none; for what returns an awaitable, that of what is awaited."""
        hint = self._hint("return", "the return type")
        awaited = typing.get_origin(hint) in _AWAITABLES
        return typing.get_args(hint)[-1] if awaited else hint

    def adapted(self, hint: Any, subject: str, convert: str) -> tuple[Any, Callable[[bytes | msgspec.Raw], Any]]:
        """The hint as msgspec takes it, and what decodes values of it.

        Raises:
            DefinitionError: JSON cannot carry values of `subject`; the text says where to `convert` them.
        """
        try:
            taken = adapted(hint)
            return taken, decoder(taken)
        except Exception as error:  # noqa: BLE001 - the hints of the user's classes are evaluated for it
            raise definition_error(
                self._place,
                f"{subject} {type_text(hint)}, which JSON cannot carry ({error})",
                f"use a type that it can, such as str, int, list, dict or a dataclass, and convert {convert}",
            ) from None

    def _hint(self, name: str, subject: str) -> Any:
        if name not in self._annotations:
            return Any
        try:
            return evaluated(self._annotations[name], self.owner.__globals__)
        except Exception as error:  # noqa: BLE001 - evaluating a hint executes what the user wrote
            written = self._annotations[name]
            shown = written if isinstance(written, str) else type_text(written)
            raise definition_error(
                self._place,
                f"{subject}, {shown}, cannot be resolved ({error})",
                "import or define what it names at the top of the module, not only for type checkers",
            ) from None


def _annotations(owner: types.FunctionType) -> dict[str, Any]:
    try:
        return owner.__annotations__
    except NameError:
        # From Python 3.14 on they are evaluated only when asked for, and so fail only now.
        lazy = importlib.import_module("annotationlib")
        return lazy.get_annotations(owner, format=lazy.Format.FORWARDREF)
