"""Turns an exception into the failure that is recorded: what it was, where, and the errors that it came from.

The frames of Ziet itself are left out. Everything is bounded, and nothing is raised, whatever the exception's own
methods do: a failure that could not be told would be lost.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ziet import _wire
from ziet._errors import ChildTraceback, type_name

if TYPE_CHECKING:
    import traceback
    from collections.abc import Iterator
    from types import FrameType, TracebackType

root = ""
"""The project's folder: frames of files in it are the user's."""

_SDK = os.path.dirname(__file__) + os.sep
_EXECUTOR = _SDK + "_executor.py"
_ENVIRONMENTS = ("site-packages", "dist-packages")
_IMPORTLIB = os.path.join("importlib", "__init__.py")
_MOST_FRAMES = 100
_LONGEST_CYCLE = 16
"""Calls of a recursion that are recognised as repeating; what is longer is cut like any long stack."""
_LONGEST_SOURCE = 500
_LONGEST_TEXT = 200_000
"""Characters kept of a message and of a traceback each; more would not be read, and might not fit into a message."""

# Of the errors that one came from, and of notes.
_MOST_ERRORS = 100
_MOST_MEMBERS = 20
_DEEPEST = 10
_MOST_NOTES = 20
_FRAMES_OF_RELATED = 20
_LONGEST_RELATED = 2000
_ROOM = 500_000
"""Characters for all the errors that one came from together."""
_MOST_FRAMES_WITH_LOCALS = 30


def describe(error: BaseException, code: str, *, with_locals: bool = False) -> _wire.Failure:
    """What is recorded of `error`. Never raises, whatever the exception's own methods do."""
    kind, message = type_name(type(error)), _message(error, _LONGEST_TEXT)
    text, retryable = _traceback(error, f"{kind}: {message}"), _retryable(error)
    failure = _wire.Failure(kind, message, text, code, retryable, [], _notes(error))
    described = _Description()
    try:
        failure.frames = described.frames(error, _MOST_FRAMES)
        failure.related, failure.left_out = described.related(error, 1)
        if with_locals:
            from ziet import _locals  # Only when asked for.

            _locals.fill(described.running[:_MOST_FRAMES_WITH_LOCALS])
    except Exception:  # noqa: BLE001 - a class that puts what raises in the place of what Python reads, or no thread
        pass
    return failure


class _Description:
    """Describes an error and those that it came from: each once, and no more than there is room for."""

    def __init__(self) -> None:
        self.running: list[tuple[_wire.Frame, FrameType]] = []
        """The frames of the project with what they stand for: error by error, the innermost first."""
        self._seen: set[int] = set()
        self._errors = _MOST_ERRORS
        self._room = _ROOM

    def frames(self, error: BaseException, most: int) -> list[_wire.Frame]:
        import linecache  # Only after an error.

        self._seen.add(id(error))
        calls = _calls(error)
        for file in {frame.f_code.co_filename for frame, _ in calls}:
            linecache.checkcache(file)
        pairs = [(_frame(frame, line), frame) for frame, line in calls]
        frames = _cut(_folded([listed for listed, _ in pairs]), most)
        listed = {id(frame) for frame in frames}
        self.running += [pair for pair in reversed(pairs) if pair[0].user and id(pair[0]) in listed]
        if isinstance(error, SyntaxError):
            frames += _not_compiled(error)
        return frames

    def related(self, error: BaseException, depth: int) -> tuple[list[_wire.RelatedError], int]:
        """Those that can be listed, and how many are not."""
        listed: list[_wire.RelatedError] = []
        left_out = 0
        for relation, other in _related(error):
            if id(other) in self._seen:
                continue
            one = self._one(relation, other, depth) if len(listed) < _MOST_MEMBERS else None
            if one is not None:
                listed.append(one)
            else:
                left_out += 1 if relation == "member" else _length_of_chain(other)
        return listed, left_out

    def _one(self, relation: str, error: BaseException, depth: int) -> _wire.RelatedError | None:
        if isinstance(error, ChildTraceback):
            return self._child(error.failure, depth)
        if not self._takes(depth):
            return None
        kind, message = type_name(type(error)), _message(error, _LONGEST_RELATED)
        frames = self.frames(error, _FRAMES_OF_RELATED)
        one = _wire.RelatedError(relation, kind, message, frames, _notes(error))
        self._room -= _size(one)
        one.related, one.left_out = self.related(error, depth + 1)
        return one

    def _child(self, failure: Any, depth: int) -> _wire.RelatedError | None:
        """What was recorded of a child run that failed. An error that was pickled on the way has lost it."""
        if not isinstance(failure, _wire.Failure):
            return None
        return self._recorded("child", failure, depth)

    def _recorded(self, relation: str, error: _wire.Failure | _wire.RelatedError, depth: int) -> Any:
        if not self._takes(depth):
            return None
        message, frames = _shortened(error.message, _LONGEST_RELATED), _cut(error.frames, _FRAMES_OF_RELATED)
        one = _wire.RelatedError(relation, error.type, message, frames, error.notes)
        self._room -= _size(one)
        again = [self._recorded(other.relation, other, depth + 1) for other in error.related]
        one.related = [other for other in again if other is not None]
        one.left_out = error.left_out + len(again) - len(one.related)
        return one

    def _takes(self, depth: int) -> bool:
        self._errors -= 1
        return depth <= _DEEPEST and self._errors >= 0 and self._room > 0


def _size(error: _wire.RelatedError) -> int:
    frames = sum(len(frame.file) + len(frame.function) + len(frame.source or "") + 100 for frame in error.frames)
    return len(error.message) + sum(map(len, error.notes)) + frames


def _related(error: BaseException) -> Iterator[tuple[str, BaseException]]:
    """The error that this one came from, as Python would print it, and the members of a group."""
    earlier = _earlier(error)
    if earlier is not None:
        yield earlier
    try:
        members = getattr(error, "exceptions", None)
    except BaseException:  # noqa: BLE001 - it may be a property that raises
        return
    # Also the groups of the backport to Python 3.10, and of libraries that came before either.
    if isinstance(members, (list, tuple)):
        for member in members:  # pyright: ignore[reportUnknownVariableType]
            if isinstance(member, BaseException):
                yield "member", member


def _earlier(error: BaseException) -> tuple[str, BaseException] | None:
    # Of the base class, so that no class of the user's can put something else in their place.
    cause = BaseException.__dict__["__cause__"].__get__(error)
    if cause is not None:
        return ("cause", cause)
    context = BaseException.__dict__["__context__"].__get__(error)
    hidden = BaseException.__dict__["__suppress_context__"].__get__(error)
    return None if context is None or hidden else ("context", context)


def _length_of_chain(error: BaseException) -> int:
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        earlier = _earlier(one)
        one = earlier[1] if earlier is not None else None
    return len(seen)


def _calls(error: BaseException) -> list[tuple[FrameType, int]]:
    """The calls, the outermost first, with the line in each; without Ziet's own and what it calls to get to the
    action."""
    calls: list[tuple[FrameType, int]] = []
    one: TracebackType | None = BaseException.__dict__["__traceback__"].__get__(error)
    while one is not None:
        if one.tb_frame.f_code.co_filename == _EXECUTOR:
            calls.clear()
        elif not _is_ours(one.tb_frame.f_code.co_filename):
            calls.append((one.tb_frame, one.tb_lineno or 0))
        one = one.tb_next
    return calls


def _is_ours(filename: str) -> bool:
    return filename.startswith((_SDK, "<frozen importlib")) or filename.endswith(_IMPORTLIB)


def _frame(frame: FrameType, line: int) -> _wire.Frame:
    import linecache

    file = frame.f_code.co_filename
    source = linecache.getline(file, line, frame.f_globals).strip()[:_LONGEST_SOURCE]
    return _wire.Frame(clean(file), line, clean(frame.f_code.co_name), clean(source) or None, is_users(file))


def _not_compiled(error: SyntaxError) -> list[_wire.Frame]:
    """The place that a syntax error tells of, with carets under it; none if it was raised without one."""
    file, line, text, offset = error.filename, error.lineno, error.text, error.offset
    if not isinstance(line, int):
        return []
    file = clean(file) if isinstance(file, str) else "<string>"
    source = clean(text.splitlines()[0]) if isinstance(text, str) and text else ""
    stripped = source.strip()[:_LONGEST_SOURCE]
    before = offset - 1 - (len(source) - len(source.lstrip())) if isinstance(offset, int) else -1
    if stripped and 0 <= before <= len(stripped):
        end = getattr(error, "end_offset", None) if getattr(error, "end_lineno", None) == line else None
        width = end - error.offset if isinstance(end, int) and isinstance(error.offset, int) else 1
        stripped += "\n" + " " * before + "^" * max(1, min(width, len(stripped) - before))
    # What was compiled from a text, and not from a file, the project's code has made.
    return [_wire.Frame(file, line, "", stripped or None, file.startswith("<") or is_users(file))]


def is_users(file: str) -> bool:
    """Whether a file belongs to the project rather than to a library."""
    if file.startswith("<"):
        return False  # Code that was made while it ran, such as the methods of a dataclass.
    path = os.path.abspath(file)
    if not root or not path.startswith(os.path.join(root, "")):
        return False
    return not any(part in _ENVIRONMENTS for part in path.split(os.sep))


def _folded(frames: list[_wire.Frame]) -> list[_wire.Frame]:
    """With calls that come at least three times in a row listed once."""
    keys = [(frame.file, frame.line, frame.function) for frame in frames]
    folded: list[_wire.Frame] = []
    at = 0
    while at < len(frames):
        cycle, times = _repeated(keys, at)
        folded += frames[at : at + cycle]
        if times > 1:
            folded[-1].left_out, folded[-1].cycle = cycle * (times - 1), cycle
        at += cycle * times
    return folded


def _repeated(keys: list[tuple[str, int, str]], at: int) -> tuple[int, int]:
    """How many calls from `at` on repeat, and how often they come; one call once if none do."""
    for cycle in range(1, _LONGEST_CYCLE + 1):
        once, end = keys[at : at + cycle], at + cycle
        while keys[end : end + cycle] == once:
            end += cycle
        if end >= at + 3 * cycle:
            return cycle, (end - at) // cycle
    return 1, 1


def _cut(frames: list[_wire.Frame], most: int) -> list[_wire.Frame]:
    """The outermost and the innermost ones, where there are too many."""
    if len(frames) <= most:
        return frames
    first, last = frames[: most // 2], frames[-most // 2 :]
    left_out = sum(1 + frame.left_out for frame in frames[len(first) : -len(last)]) + first[-1].left_out
    edge = first[-1]
    first[-1] = _wire.Frame(edge.file, edge.line, edge.function, edge.source, edge.user, edge.locals, left_out)
    return first + last


def _traceback(error: BaseException, headline: str) -> str:
    """As Python prints it."""
    import traceback  # Only after an error: it is slow to import.

    try:
        summary = traceback.TracebackException(type(error), error, error.__traceback__, compact=True)
        _without_ours(error, summary)
        text = "".join(summary.format()).rstrip("\n")
    except Exception:  # noqa: BLE001 - a chain too deep for the traceback module, or a class that breaks it
        text = headline
    text = clean(text)
    # The end of a traceback says most.
    return text if len(text) <= _LONGEST_TEXT else "... " + text[-_LONGEST_TEXT:]


def _without_ours(error: BaseException, summary: traceback.TracebackException) -> None:
    """Takes the frames of Ziet out of a traceback and those that it came from. The error of a child run stands there
    as it was recorded."""
    make_stack = type(summary.stack).from_list
    seen: set[int] = set()
    left: list[tuple[BaseException, traceback.TracebackException]] = [(error, summary)]
    while left:
        one, shown = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        begin = max((n for n, frame in enumerate(shown.stack, 1) if frame.filename == _EXECUTOR), default=0)
        shown.stack = make_stack(frame for frame in shown.stack[begin:] if not _is_ours(frame.filename))
        if isinstance(one, ChildTraceback):
            _show_as_recorded(shown, f"{one.args[0]}\n")
        for earlier, its in ((one.__cause__, shown.__cause__), (one.__context__, shown.__context__)):
            if earlier is not None and its is not None:
                left.append((earlier, its))
        left += zip(getattr(one, "exceptions", None) or (), getattr(shown, "exceptions", None) or (), strict=False)


def _show_as_recorded(shown: traceback.TracebackException, text: str) -> None:
    def format_exception_only(**_: Any) -> list[str]:
        return [text]

    shown.format_exception_only = format_exception_only  # type: ignore[method-assign]


def _message(error: BaseException, longest: int) -> str:
    try:
        text = clean(str(error))
    except BaseException as broken:  # noqa: BLE001 - the user's __str__ may raise anything
        return f"<{type(error).__name__}.__str__ raised {type(broken).__name__}>"
    return _shortened(text, longest)


def _notes(error: BaseException) -> list[str]:
    """What was put into `__notes__`, by `add_note` or by hand."""
    try:
        notes = getattr(error, "__notes__", None)
        # Python shows one that is none of the two as it is; there it is told by its `repr`.
        given: list[Any] = list(notes) if isinstance(notes, (list, tuple)) else [] if notes is None else [repr(notes)]  # pyright: ignore[reportUnknownArgumentType]
        told = [_shortened(clean(str(note)), _LONGEST_RELATED) for note in given[:_MOST_NOTES]]
    except BaseException as broken:  # noqa: BLE001 - a property, or a note that cannot be shown
        return [f"<__notes__ raised {type(broken).__name__}>"]
    return [*told, f"... {len(given) - len(told)} more notes"] if len(given) > len(told) else told


def _retryable(error: BaseException) -> bool:
    try:
        return getattr(error, "retryable", True) is not False
    except BaseException:  # noqa: BLE001 - it may be a property that raises
        return True


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[:longest] + " ..."


def clean(text: str) -> str:
    """Without the lone surrogates that a message could not carry, as in the names of some files."""
    return text.encode("utf-8", "backslashreplace").decode()
