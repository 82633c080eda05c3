"""The errors that users of Ziet meet, and how the error of a child run becomes an exception of its caller.

A child's error arrives as text from another process. Its caller must be able to write `except ValueError:`, yet nothing
of the user's classes may run to make it: their constructors want arguments that nobody kept.
"""

from __future__ import annotations

import builtins
import functools
import sys
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, NoReturn, Protocol

    class Failure(Protocol):
        """What is recorded of an error."""

        @property
        def type(self) -> str: ...
        @property
        def message(self) -> str: ...
        @property
        def traceback(self) -> str | None: ...
        @property
        def code(self) -> str | None: ...
        @property
        def retryable(self) -> bool: ...


class ZietError(Exception):
    """What every error of Ziet is a kind of."""


class DefinitionError(ZietError):
    """An action is defined wrongly; the text names function, file and line, and what to write instead."""


class InputError(ZietError):
    """The input of a run does not fit the parameters of its action. Nothing was executed, nothing is retried."""

    retryable = False

    problems: Sequence[tuple[str, str]] = ()
    """All that is wrong, as (parameter, text); the parameter is empty when the input as a whole is wrong."""

    def __init__(self, message: str, problems: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class OutputError(ZietError):
    """An action returned what is not JSON, not what its return annotation says, or over 6 MB. It is not retried."""

    retryable = False


class MemoryValueError(ZietError, ValueError):
    """What memory cannot hold: what is not JSON or over 6 MB, a key that is not allowed, more than 100 MB in all."""

    retryable = False

    code: str = "invalid_memory"
    """Ziet's stable code of the kind of failure; `memory_full` where the memory holds as much as it may."""


class IntegrationError(ZietError):
    """A call of an integration could not be made."""


class ActionError(ZietError):
    """A child run failed.

    What the caller gets is also an instance of the class that the child raised, if that class is known in this
    process: `except ValueError:` works across runs. Attributes of the original other than its text are not kept.
    """

    type: str = ""
    """The class that the child raised: `ValueError`, or `module.QualName` if it is no builtin."""
    message: str = ""
    """The text of the child's error."""
    traceback: str = ""
    """The child's traceback as text."""
    code: str = ""
    """Ziet's stable code of the kind of failure."""
    action_id: str = ""
    """The action that failed."""
    run_id: str = ""
    """The child run that failed."""
    retryable: bool = True
    """Whether trying again could help."""

    def __init_subclass__(cls) -> None:
        # Not cooperative on purpose: a rebuilt class comes before the user's, whose hook must not run.
        pass

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({str(self)!r})"


_PUBLIC_ERRORS = (
    ZietError,
    DefinitionError,
    InputError,
    OutputError,
    MemoryValueError,
    IntegrationError,
    ActionError,
)

# People see and catch them as `ziet.InputError`; the file that they stand in is nobody's business.
for _error in _PUBLIC_ERRORS:
    _error.__module__ = "ziet"


_REFUSALS = ("invalid_memory", "memory_full", "unknown_action", "call_depth", "store_unavailable")


def refusal_code(error: BaseException) -> str | None:
    """The code of what the platform refused to do for this run. None for an error of user code, and for that of a child
    run, whose code is the child's own."""
    if not isinstance(error, (MemoryValueError, ActionError)) or getattr(error, "run_id", ""):
        return None
    return error.code if error.code in _REFUSALS else None


class ChildTraceback(Exception):
    """The cause of a rebuilt error: its text is the child's traceback, so that Python prints both."""

    # What Python prints before the text.
    __module__ = "builtins"
    __qualname__ = "traceback of the child run"

    def __init__(self, traceback: str, failure: Failure) -> None:
        super().__init__(traceback)
        self.failure = failure

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


def type_name(exc_type: type[BaseException]) -> str:
    """How the class of an error is recorded: `ValueError`, or `module.QualName` if it is no builtin.

    A class made by `rebuild` gives the original's name, so an error keeps it through any number of runs.
    """
    if exc_type.__module__ == "builtins":
        return exc_type.__qualname__
    return f"{exc_type.__module__}.{exc_type.__qualname__}"


def rebuild(failure: Failure, action_id: str, run_id: str) -> ActionError:
    """Makes the error that the caller of a failed child run gets.

    It is an `ActionError` and, where the original class is a builtin or in a module that is loaded, of that class too.
    """
    original = _loaded_class(failure.type)
    text = f"{failure.type}: {failure.message}"
    error = None
    if original is ActionError:
        text = failure.message
    elif original is not None:
        error = _instance(original, failure.message)
    if error is None:
        error = ActionError(text)
    # By way of the dict: a user's class may forbid or redirect the setting of attributes.
    vars(error).update(
        type=failure.type,
        message=failure.message,
        traceback=failure.traceback or "",
        code=failure.code or "",
        action_id=action_id,
        run_id=run_id,
        retryable=failure.retryable,
    )
    if failure.traceback:
        BaseException.__setattr__(error, "__cause__", ChildTraceback(failure.traceback, failure))
    return error


def _loaded_class(name: str) -> type[Exception] | None:
    """The exception class of that recorded name, without importing or executing anything."""
    parts = name.split(".")
    if len(parts) == 1:
        return _exception_class(vars(builtins).get(name))
    for split in range(len(parts) - 1, 0, -1):
        module = sys.modules.get(".".join(parts[:split]))
        if module is not None:
            # Through the dicts: `getattr` with the name would run a module's own `__getattr__`, or a metaclass.
            return _exception_class(functools.reduce(_member, parts[split:], module))
    return None


def _member(owner: object, name: str) -> object:
    members: Mapping[str, object] = getattr(owner, "__dict__", {})
    return members.get(name)


def _exception_class(found: object) -> type[Exception] | None:
    # SystemExit, KeyboardInterrupt and their like end a process; a child's must not end its parent's.
    return found if isinstance(found, type) and issubclass(found, Exception) else None


def _instance(original: type[Exception], text: str) -> ActionError | None:
    """An instance of `original` made without its constructors, or None if that cannot be."""
    try:
        rebuilt = _rebuilt_class(original)
        error: Any = _allocator(rebuilt)(rebuilt)
        BaseException.__init__(error, text)
    except Exception:  # noqa: BLE001 - a final class, a metaclass, a C layout that does not mix: the plain error will do
        return None
    return error


def _allocator(kind: type) -> Callable[[type], object]:
    """The nearest `__new__` that is written in C; those of users, nearer still, are passed over.

    It is looked for along `__base__`, not the MRO, since that is the line along which memory is laid out.
    """
    new = kind.__dict__.get("__new__")
    if isinstance(new, types.BuiltinFunctionType):
        return new
    assert kind.__base__ is not None
    return _allocator(kind.__base__)


_rebuilt_classes: dict[type[Exception], type[ActionError]] = {}


def _rebuilt_class(original: type[Exception]) -> type[ActionError]:
    known = _rebuilt_classes.get(original)
    if known is None:
        bases = (original,) if issubclass(original, ActionError) else (ActionError, original)
        namespace: dict[str, Any] = {
            "__module__": original.__module__,
            "__qualname__": original.__qualname__,
            "__doc__": original.__doc__,
            "__str__": ActionError.__str__,
            "__repr__": ActionError.__repr__,
            "__reduce__": _reduce,
            "__getattr__": _no_attribute,
        }
        made: Any = type(original.__name__, bases, namespace)
        known = _rebuilt_classes[original] = made
    return known


def _no_attribute(error: ActionError, name: str) -> NoReturn:
    message = f"{type(error).__name__} of a child run has no attribute {name!r}: only the text of an error is kept"
    raise AttributeError(message, name=name, obj=error)


def _reduce(error: ActionError) -> tuple[Any, ...]:
    """Pickles a rebuilt error as what it was made from, since its class has no name that could be imported."""
    return _restore, (dict(vars(error)),)


def _restore(recorded: dict[str, Any]) -> ActionError:
    failure: Any = types.SimpleNamespace(**recorded)
    return rebuild(failure, recorded["action_id"], recorded["run_id"])
