"""Turns an exception into the failure that is recorded: type, message, and the stack without the frames of Ziet."""

from __future__ import annotations

import os
import traceback

from ziet import _wire
from ziet._errors import type_name

root = ""
"""The project's folder: frames of files in it are the user's."""

_SDK = os.path.dirname(__file__) + os.sep
_ENVIRONMENTS = ("site-packages", "dist-packages")
_LONGEST_TEXT = 200_000
"""Characters kept of a message and of a traceback each; more would not be read, and might not fit into a message."""


def describe(error: BaseException, code: str) -> _wire.Failure:
    """What is recorded of `error`. Never raises, whatever the exception's own methods do."""
    summary = traceback.TracebackException(type(error), error, error.__traceback__, compact=True)
    _without_sdk(summary)
    return _wire.Failure(
        type=type_name(type(error)),
        message=_cut(_message(error)),
        traceback=_cut("".join(summary.format()).rstrip("\n")),
        code=code,
        retryable=_retryable(error),
        frames=[_frame(frame) for frame in summary.stack],
    )


def _without_sdk(summary: traceback.TracebackException | None) -> None:
    seen: set[int] = set()
    while summary is not None and id(summary) not in seen:
        seen.add(id(summary))
        summary.stack = traceback.StackSummary.from_list(
            frame
            for frame in summary.stack
            if not frame.filename.startswith((_SDK, "<frozen importlib")) and "importlib" not in _parts(frame.filename)
        )
        for nested in getattr(summary, "exceptions", None) or ():
            _without_sdk(nested)
        _without_sdk(summary.__context__)
        summary = summary.__cause__


def _parts(filename: str) -> list[str]:
    return filename.split(os.sep)[-2:]


def _frame(frame: traceback.FrameSummary) -> _wire.Frame:
    file, source = _clean(frame.filename), _clean(frame.line or "")
    return _wire.Frame(file, frame.lineno or 0, _clean(frame.name), source or None, is_users(frame.filename))


def is_users(file: str) -> bool:
    """Whether a file belongs to the project rather than to a library."""
    path = os.path.abspath(file)
    if not root or not path.startswith(os.path.join(root, "")):
        return False
    return not any(part in _ENVIRONMENTS for part in path.split(os.sep))


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001 - the user's __str__ may raise anything
        return f"<{type(error).__name__}.__str__ raised {type(broken).__name__}>"


def _retryable(error: BaseException) -> bool:
    try:
        return getattr(error, "retryable", True) is not False
    except Exception:  # noqa: BLE001 - it may be a property that raises
        return True


def _clean(text: str) -> str:
    """Without the lone surrogates that a message could not carry, as in the names of some files."""
    return text.encode("utf-8", "backslashreplace").decode()


def _cut(text: str) -> str:
    # The end of a traceback says most.
    text = _clean(text)
    return text if len(text) <= _LONGEST_TEXT else "… " + text[-_LONGEST_TEXT:]
