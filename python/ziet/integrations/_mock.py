"""What the integrations share: checks of arguments, and answers made up from them.

A mocked answer depends on the arguments alone, so that a run can be repeated and compared.
"""

from __future__ import annotations

import functools
import zlib

from ziet import _context
from ziet._errors import IntegrationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")

_ARGUMENT_LENGTH = 60


def integration(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Makes a function that checks its arguments and answers from them a call of the integration `name`.

    The call is recorded in the run that makes it. Outside of runs and of local mode it is an IntegrationError.
    """

    def decorate(answer: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(answer)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            # Before anything else, so that a wrong argument is told wherever the call is made.
            mocked_answer = answer(*args, **kwargs)
            run = _context.run
            if run is None or not run.mocked:
                raise IntegrationError(
                    f"{name} cannot be called here: real integrations are not there yet. "
                    "Run the action with `ziet run --local`, where integrations are mocked"
                )
            run.integration_called(_call_text(name, args, kwargs))
            return mocked_answer

        return call

    return decorate


def check(valid: object, problem: str, value: object) -> None:
    """Raises a ValueError that tells `problem` and the value unless `valid`."""
    if not valid:
        raise ValueError(f"{problem}, got {value!r}")


def is_text(value: object) -> bool:
    """Whether it is a str with more than white space in it."""
    return isinstance(value, str) and bool(value.strip())


def is_list(value: object) -> bool:
    """Whether it is a list or a tuple."""
    return isinstance(value, (list, tuple))


def is_dict(value: object) -> bool:
    """Whether it is a dict."""
    return isinstance(value, dict)


def is_int(value: object, lowest: int, highest: int | None = None) -> bool:
    """Whether it is an int (a bool is none) from `lowest` to `highest`."""
    return (
        isinstance(value, int)
        and not isinstance(value, bool)
        and value >= lowest
        and (highest is None or value <= highest)
    )


def token(length: int, *parts: object) -> str:
    """Letters and digits that look like an id, the same for the same parts. No secret, no protection from clashes."""
    text = repr(parts).encode("utf-8", "backslashreplace")
    blocks = [f"{zlib.crc32(text, start):08x}" for start in range(-(-length // 8))]
    return "".join(blocks)[:length]


def _call_text(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """How the call reads in code: `google.search("ziet", num_results=3)`."""
    # Here and not above: outside of a run nobody needs it, and msgspec is slow to import.
    from ziet._encode import short

    given = [short(value, _ARGUMENT_LENGTH) for value in args]
    given += [f"{key}={short(value, _ARGUMENT_LENGTH)}" for key, value in kwargs.items()]
    return f"{name}({', '.join(given)})"
