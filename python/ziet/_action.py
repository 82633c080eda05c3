"""The decorator: it checks a definition when the module is imported and registers the action.

Nothing here knows how an action is executed; inside a run a call goes to `_context.run`.
"""

from __future__ import annotations

import functools
import sys
import types

from ziet import _context, _limits, _registry
from ziet._function import (
    Place,
    definition_error,
    is_async,
    is_generator,
    place_of,
    positional_only,
    signature_owner,
    varargs,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Generic, Literal, ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")
    R_co = TypeVar("R_co", covariant=True)
else:

    class Generic:
        """So that `ActionFunction[[int], str]` can be written."""

        __class_getitem__ = classmethod(types.GenericAlias)

    P = R = R_co = None

_OPTIONS = ("description", "id", "name", "timeout", "retries", "memory", "isolation", "on_lost")
_ISOLATIONS = ("shared", "attempt")
_WHEN_LOST = ("rerun", "fail")
_WRITE_DESCRIPTION = 'write @Action(description="What it does")'


class ActionFunction(Generic[P, R_co]):
    """What a decorated function becomes: called like the function, and with the same signature.

    Outside a run a call just calls the function. Inside a run it is a child run with its own executor, retries and
    timeout, which returns the function's result or raises its error.
    """

    id: str
    """Unique in its project."""
    name: str
    """How people see it."""
    description: str
    """What it does."""
    timeout: int
    """How long one attempt may take, in seconds, 1 to 900."""
    retries: int
    """How often a failed run is attempted again, 0 to 100."""
    memory: int
    """How much memory one attempt may use, in bytes, 16 MB to 10 GB."""
    isolation: str
    """Whether attempts share a process one after the other ("shared"), or each has a fresh one ("attempt")."""
    on_lost: str
    """Whether a run whose process vanished is executed again ("rerun"), or fails ("fail")."""
    local: Callable[P, R_co]
    """The plain function: called in this process, inside a run too."""
    is_async: bool
    """Whether the function is an `async def`."""
    place: Place
    """Where the function is defined."""
    __name__: str
    __qualname__: str
    __wrapped__: Callable[P, R_co]

    def __init__(
        self,
        function: Callable[P, R_co],
        *,
        id: str,
        name: str,
        description: str,
        timeout: int,
        retries: int,
        memory: int,
        isolation: str,
        on_lost: str,
    ) -> None:
        # First, so that attributes of the function cannot replace those of the action.
        functools.update_wrapper(self, function)
        self.local = function
        self.id = id
        self.name = name
        self.description = description
        self.timeout = timeout
        self.retries = retries
        self.memory = memory
        self.isolation = isolation
        self.on_lost = on_lost
        assert isinstance(function, types.FunctionType)
        self.is_async = is_async(function)
        self.place = place_of(function)

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R_co:
        run = _context.run
        if run is None:
            return self.local(*args, **kwargs)
        return run.call(self, args, kwargs)

    def __repr__(self) -> str:
        return f"<action {self.id}>"

    def __reduce__(self) -> str:
        # Pickled by name, as functions are.
        return self.local.__qualname__


class Action:
    """Makes a function an action.

        @Action(description="Process payment transaction", retries=3)
        def process_payment(amount: int, currency: str = "usd") -> None: ...

    Options:
        description: What it does; shown in logs and on the dashboard. Required.
        id: Unique in the project, at most 128 of the characters A-Z a-z 0-9 _ . : - (default: module.function_name).
        name: How people see it (default: a title made from the function's name).
        timeout: How long one attempt may take, in whole seconds, 1 to 900; an attempt that takes longer is killed and
            fails with `TimeoutError`. Waiting for actions that it calls does not count.
        retries: How often a failed run is attempted again, 0 to 100, after 2, 4, 8, 16, 30, 30, … seconds.
        memory: How much memory one attempt may use on top of what the imported project takes, from "16MB" to "10GB",
            where a MB is 1,048,576 bytes. Above it Python raises `MemoryError`, or the attempt is killed and fails as
            out of memory.
        isolation: "shared": attempts have a process one after the other, which keeps what modules keep in memory.
            "attempt": each has a fresh process of its own, in which nothing of an earlier one is left.
        on_lost: What becomes of a run during which the machine or the server went down, so that nobody knows how far it
            came. "rerun": it is executed again, which uses up no retry. "fail": it fails, because what it does must
            never happen twice; its start is on disk before its code runs.

    Raises:
        DefinitionError: The definition is wrong; the text names function, file and line, and what to write instead.
    """

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            description: str,
            id: str | None = None,
            name: str | None = None,
            timeout: int = 300,
            retries: int = 0,
            memory: str = "10GB",
            isolation: Literal["shared", "attempt"] = "shared",
            on_lost: Literal["rerun", "fail"] = "rerun",
        ) -> None: ...

        def __call__(self, function: Callable[P, R], /) -> ActionFunction[P, R]: ...

    else:
        # Takes anything: what is wrong is told in `__call__`, which knows the function, and not by a bare TypeError.
        def __init__(self, /, *positional: Any, **options: Any) -> None:
            if positional and callable(positional[0]):
                place = _place(positional[0], sys._getframe(1))
                raise definition_error(place, "@Action has no description", _WRITE_DESCRIPTION)
            self._positional = positional
            self._options = options

        def __call__(self, function: Any, /) -> ActionFunction[..., Any]:
            place = _place(function, sys._getframe(1))
            _check_function(function, place)
            options = _checked_options(function, place, self._positional, self._options)
            action = ActionFunction(function, **options)
            _register(action)
            return action


def _place(function: Any, frame: types.FrameType) -> Place:
    """Where `function` is defined, or where it was decorated if it does not tell."""
    function = getattr(function, "__func__", function)
    owner = signature_owner(function)
    if owner is not None:
        return place_of(owner)
    name = getattr(function, "__name__", None) or type(function).__name__
    return Place(name, frame.f_code.co_filename, frame.f_lineno)


def _check_function(function: Any, place: Place) -> None:
    problem = _not_a_function(function) or _wrong_scope(function) or _wrong_signature(function)
    if problem:
        raise definition_error(place, *problem)


def _not_a_function(function: Any) -> tuple[str, str] | None:
    if isinstance(function, ActionFunction):
        return "it is an action already", "write @Action once"
    if isinstance(function, (staticmethod, classmethod)):
        return "a method cannot be an action", "write it as a function at the top of the module"
    if isinstance(function, type):
        return "a class cannot be an action", "write a function that uses the class"
    if not isinstance(function, types.FunctionType):
        kind = type(function).__name__
        return f"an object of type {kind} cannot be an action", "write a `def` that calls it"
    return None


def _wrong_scope(function: types.FunctionType) -> tuple[str, str] | None:
    owner = signature_owner(function) or function
    if owner.__name__ == "<lambda>":
        return "a lambda cannot be an action", "write it with `def`"
    scope = owner.__qualname__.split(".")[:-1]
    if not scope:
        return None
    if scope[-1] == "<locals>":
        return (
            "a function inside another cannot be an action, since no other process could find it",
            "move it to the top of the module and pass what it needs as parameters",
        )
    return "a method cannot be an action", "write it as a function at the top of the module"


def _wrong_signature(function: types.FunctionType) -> tuple[str, str] | None:
    if is_generator(function):
        return "a generator cannot be an action", "return a list, or add what it yields to memory"
    owner = signature_owner(function) or function
    before_slash = positional_only(owner)
    if before_slash:
        names = ", ".join(before_slash)
        return f"positional-only parameters ({names}) cannot be given by name", "remove the `/`"
    rest = varargs(owner)
    if rest is not None:
        return (
            f"*{rest} cannot be given by name",
            f"write `{rest}: list` (if a decorator below @Action added it, give that functools.wraps)",
        )
    return None


def _checked_options(
    function: types.FunctionType, place: Place, positional: tuple[Any, ...], given: dict[str, Any]
) -> dict[str, Any]:
    if positional:
        raise definition_error(place, f"options of @Action must be named, got {positional[0]!r}", _WRITE_DESCRIPTION)
    for option in given:
        if option not in _OPTIONS:
            raise definition_error(place, *_unknown_option(option))
    options: dict[str, Any] = {
        "id": given.get("id"),
        "name": given.get("name"),
        "description": given.get("description"),
        "timeout": given.get("timeout", 300),
        "retries": given.get("retries", 0),
        "memory": _limits.memory_bytes(given.get("memory", "10GB")),
        "isolation": given.get("isolation", "shared"),
        "on_lost": given.get("on_lost", "rerun"),
    }
    if options["id"] is None:
        options["id"] = f"{function.__module__}.{function.__name__}"
    if options["name"] is None:
        options["name"] = _title(function.__name__)
    problem = (
        _wrong_description(given)
        or _wrong_number("timeout", options["timeout"], _limits.MIN_TIMEOUT_SECONDS, _limits.MAX_TIMEOUT_SECONDS)
        or _wrong_number("retries", options["retries"], 0, _limits.MAX_RETRIES)
        or _wrong_memory(given.get("memory"), options["memory"])
        or _wrong_isolation(options["isolation"])
        or _wrong_on_lost(options["on_lost"])
        or _wrong_id(options["id"], made_up=given.get("id") is None)
        or _wrong_name(options["name"])
    )
    if problem:
        raise definition_error(place, *problem)
    return options


def _title(function_name: str) -> str:
    words = [word for word in function_name.split("_") if word]
    return " ".join(word[0].upper() + word[1:] for word in words) or function_name


def _unknown_option(option: str) -> tuple[str, str]:
    # Only after a mistake: difflib costs as much to import as everything else here together.
    import difflib

    near = difflib.get_close_matches(option, _OPTIONS, n=1)
    known = f"the options are {', '.join(_OPTIONS)}"
    return f"unknown option {option!r}", f"did you mean {near[0]!r}? {known}" if near else known


def _wrong_description(given: dict[str, Any]) -> tuple[str, str] | None:
    description = given.get("description")
    if description is None:
        return "@Action has no description", _WRITE_DESCRIPTION
    if not isinstance(description, str) or not description.strip():
        return f"description must be a text that is not empty, got {description!r}", _WRITE_DESCRIPTION
    return None


def _wrong_number(option: str, value: Any, lowest: int, highest: int) -> tuple[str, str] | None:
    # A bool is an int to Python, but timeout=True is a mistake.
    is_int = isinstance(value, int) and not isinstance(value, bool)
    if is_int and lowest <= value <= highest:
        return None
    unit = " seconds" if option == "timeout" else ""
    nearest = min(max(value, lowest), highest) if is_int else {"timeout": 300, "retries": 3}[option]
    return (
        f"{option} must be a whole number from {lowest} to {highest}{unit}, got {value!r}",
        f"write {option}={nearest}",
    )


def _wrong_memory(given: Any, nbytes: int | None) -> tuple[str, str] | None:
    if nbytes is not None and _limits.MIN_ATTEMPT_MEMORY_BYTES <= nbytes <= _limits.MAX_ATTEMPT_MEMORY_BYTES:
        return None
    nearest = "512MB"
    if nbytes is not None:
        nearest = "16MB" if nbytes < _limits.MIN_ATTEMPT_MEMORY_BYTES else "10GB"
    if nbytes is None and isinstance(given, str):
        # A MB has 1024 * 1024 bytes here anyway.
        plain = given.replace(" ", "").upper().replace("IB", "B")
        nearest = plain if _limits.memory_bytes(plain) is not None else nearest
    wrong = f'memory must be a text such as "512MB" or "1.5GB", from 16 MB to 10 GB, got {given!r}'
    return wrong, f'write memory="{nearest}"'


def _wrong_isolation(isolation: Any) -> tuple[str, str] | None:
    if isinstance(isolation, str) and isolation in _ISOLATIONS:
        return None
    nearest = "attempt" if isolation is True or str(isolation).lower() == "attempt" else "shared"
    return f'isolation must be "shared" or "attempt", got {isolation!r}', f'write isolation="{nearest}"'


def _wrong_on_lost(on_lost: Any) -> tuple[str, str] | None:
    if isinstance(on_lost, str) and on_lost in _WHEN_LOST:
        return None
    nearest = "fail" if str(on_lost).lower() in ("fail", "failed", "false") else "rerun"
    return f'on_lost must be "rerun" or "fail", got {on_lost!r}', f'write on_lost="{nearest}"'


def _wrong_id(id: Any, *, made_up: bool) -> tuple[str, str] | None:
    write = 'write an id such as id="process_payment"'
    if not isinstance(id, str) or not id:
        return f"id must be a text that is not empty, got {id!r}", write
    wrong = sorted(set(id) - _limits.ID_CHARACTERS)
    if wrong:
        origin = "the id made from module and function name" if made_up else "id"
        characters = " ".join(repr(character) for character in wrong)
        return f"{origin} {id!r} has characters outside A-Za-z0-9_.:- ({characters})", write
    if len(id) > _limits.MAX_ID_LENGTH:
        return f"id has {len(id)} characters, at most {_limits.MAX_ID_LENGTH} are allowed", write
    return None


def _wrong_name(name: Any) -> tuple[str, str] | None:
    if isinstance(name, str) and name.strip():
        return None
    return f"name must be a text that is not empty, got {name!r}", 'write a name such as name="Process Payment"'


def _register(action: ActionFunction[..., Any]) -> None:
    known = _registry.actions.get(action.id)
    if known is not None and not _same_function(known, action):
        raise definition_error(
            action.place, f"the id {action.id!r} belongs to {known.place} already", "give one of the two another id"
        )
    # A replaced action goes to the end, so that the registry stays in the order of definition.
    _registry.actions.pop(action.id, None)
    _registry.actions[action.id] = action


def _same_function(known: ActionFunction[..., Any], new: ActionFunction[..., Any]) -> bool:
    """Whether `new` is `known` again: a reload or a REPL, or one file imported under two module names."""
    if known.__qualname__ != new.__qualname__:
        return False
    return known.__module__ == new.__module__ or vars(known.place) == vars(new.place)
