"""Turns an exception into the failure that is recorded: type, message, and the stack without the frames of Ziet."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ziet import _wire
from ziet._errors import type_name

if TYPE_CHECKING:
    import traceback

root = ""
"""The project's folder: frames of files in it are the user's."""

_SDK = os.path.dirname(__file__) + os.sep
_ENVIRONMENTS = ("site-packages", "dist-packages")
_IMPORTLIB = os.path.join("importlib", "__init__.py")
_MOST_FRAMES = 100
_LONGEST_SOURCE = 500
_LONGEST_TEXT = 200_000
"""Characters kept of a message and of a traceback each; more would not be read, and might not fit into a message."""


def describe(error: BaseException, code: str) -> _wire.Failure:
    """What is recorded of `error`. Never raises, whatever the exception's own methods do."""
    import traceback  # Only after an error: it is slow to import.

    kind, message, retryable = type_name(type(error)), _message(error), _retryable(error)
    try:
        summary = traceback.TracebackException(type(error), error, error.__traceback__, compact=True)
        _without_sdk(summary)
        text, frames = "".join(summary.format()).rstrip("\n"), _frames(summary.stack)
    except Exception:  # noqa: BLE001 - a chain too deep for the traceback module, or a class that breaks it
        text, frames = f"{kind}: {message}", []
    return _wire.Failure(kind, message, _cut_front(text), code, retryable, frames)


def _without_sdk(summary: traceback.TracebackException) -> None:
    make_stack = type(summary.stack).from_list
    seen: set[int] = set()
    left: list[traceback.TracebackException | None] = [summary]
    while left:
        one = left.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.stack = make_stack(frame for frame in one.stack if not _is_ours(frame.filename))
        left += [one.__cause__, one.__context__, *(getattr(one, "exceptions", None) or ())]


def _is_ours(filename: str) -> bool:
    return filename.startswith((_SDK, "<frozen importlib")) or filename.endswith(_IMPORTLIB)


def _frames(stack: traceback.StackSummary) -> list[_wire.Frame]:
    """The outermost and the innermost ones, where there are too many."""
    frames = list(stack)
    if len(frames) > _MOST_FRAMES:
        frames = frames[: _MOST_FRAMES // 2] + frames[-_MOST_FRAMES // 2 :]
    return [_frame(frame) for frame in frames]


def _frame(frame: traceback.FrameSummary) -> _wire.Frame:
    file, source = _clean(frame.filename), _clean(frame.line or "")[:_LONGEST_SOURCE]
    return _wire.Frame(file, frame.lineno or 0, _clean(frame.name), source or None, is_users(frame.filename))


def is_users(file: str) -> bool:
    """Whether a file belongs to the project rather than to a library."""
    path = os.path.abspath(file)
    if not root or not path.startswith(os.path.join(root, "")):
        return False
    return not any(part in _ENVIRONMENTS for part in path.split(os.sep))


def _message(error: BaseException) -> str:
    try:
        text = _clean(str(error))
    except BaseException as broken:  # noqa: BLE001 - the user's __str__ may raise anything
        return f"<{type(error).__name__}.__str__ raised {type(broken).__name__}>"
    return text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + " …"


def _retryable(error: BaseException) -> bool:
    try:
        return getattr(error, "retryable", True) is not False
    except BaseException:  # noqa: BLE001 - it may be a property that raises
        return True


def _clean(text: str) -> str:
    """Without the lone surrogates that a message could not carry, as in the names of some files."""
    return text.encode("utf-8", "backslashreplace").decode()


def _cut_front(text: str) -> str:
    """The end of a traceback says most."""
    text = _clean(text)
    return text if len(text) <= _LONGEST_TEXT else "… " + text[-_LONGEST_TEXT:]
