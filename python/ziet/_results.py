"""Between what an action returns and JSON, by its return annotation: checked on the way out, rebuilt for callers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ziet import _limits
from ziet._encode import Unencodable, encode
from ziet._errors import OutputError
from ziet._hints import Hints
from ziet._problems import listed, wrong_parts

if TYPE_CHECKING:
    from ziet._action import ActionFunction

_LEAVES = (str, int, float, bool)
"""Types whose own instances always fit them."""


class Result:
    """What one action returns.

    Raises:
        DefinitionError: The return annotation cannot be resolved, or JSON cannot carry its values.
    """

    def __init__(self, action: ActionFunction[..., Any]) -> None:
        hints = Hints(action)
        self._id = action.id
        self.hint = hints.of_return()
        """The return annotation, `Any` without one."""
        self._leaf = self.hint if self.hint in _LEAVES else None
        self.adapted, self._decode = hints.adapted(self.hint, "the return type is", "before the return")
        """The hint as msgspec takes it."""

    def encode(self, value: Any) -> bytes:
        """The JSON of what the action returned.

        Raises:
            OutputError: It is not JSON, over 6 MB, or not what the return annotation says; all parts that are wrong
                are told together.
        """
        try:
            data = encode(value)
        except Unencodable as error:
            raise OutputError(f"{self._id} returned a value that is not JSON: {error.text('result')}") from None
        if len(data) > _limits.MAX_JSON_BYTES:
            raise OutputError(f"{self._id} returned {_limits.too_large(len(data))}")
        if type(value) is not self._leaf and self.hint is not Any:
            self.decode(data)
        return data

    def decode(self, data: bytes) -> Any:
        """The result as the return annotation describes it.

        Raises:
            OutputError: It does not fit.
        """
        try:
            return self._decode(data)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - a class of the user may raise anything while it is made
            problems = listed(wrong_parts(self.hint, msgspec.json.decode(data), "result"))
            instead = "; return nothing, or write the annotation" if self.hint is type(None) else ""
            raise OutputError(
                f"{self._id} returned what its return annotation does not allow:{problems}{instead}"
            ) from None
