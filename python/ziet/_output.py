"""Captures what an action prints and logs, in order and line by line.

`sys.stdout` becomes INFO, `sys.stderr` WARN, and `logging` keeps its levels from INFO up. What C code or child
processes write to the file descriptors themselves takes another way: pipes that the Rust program reads. Before a line
is sent, it is told to pass on what those hold.
"""

from __future__ import annotations

import codecs
import fcntl
import io
import os
import sys
import termios
import threading
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any

from ziet import _process, _wire
from ziet._channel import Channel
from ziet._limits import MAX_LINE_BYTES
from ziet._stack import clean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer

_LONGEST_TEXT = 1_000_000
"""Characters of one message, but for its last line."""

_PIECE = 65_536
"""Characters whose bytes are counted at a time."""


def _size(text: str) -> int:
    """Its bytes, without making all of them."""
    return sum(len(text[at : at + _PIECE].encode("utf-8", "backslashreplace")) for at in range(0, len(text), _PIECE))


def _begin(text: str, nbytes: int) -> str:
    return text[:nbytes].encode("utf-8", "backslashreplace")[:nbytes].decode("utf-8", "ignore")


def _cut(begin: str, size: int) -> str:
    """What is shown of a line of that many bytes, which are too many. It is not too long itself."""
    told = f" ... [line of {size:,} bytes cut]"
    return _begin(begin, MAX_LINE_BYTES - len(told)) + told


def _messages(text: str) -> Iterator[str]:
    """The lines of a text, none of them too long, as the texts of as many messages as it takes."""
    if len(text) * 4 <= MAX_LINE_BYTES:  # No character takes more than four bytes.
        yield clean(text)
        return
    lines: list[str] = []
    length = 0
    for line in text.split("\n"):
        if length > _LONGEST_TEXT:
            yield "\n".join(lines)
            lines, length = [], 0
        size = len(line) if line.isascii() else _size(line)
        lines.append(clean(line) if size <= MAX_LINE_BYTES else _cut(line, size))
        length += len(lines[-1]) + 1
    yield "\n".join(lines)


class Lines:
    """Sends text as lines of the attempt."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def send(self, level: str, text: str, descriptor: int) -> None:
        """In a process that the action forked, writes to the descriptor as any other program would."""
        if not self._channel.here:
            for message in _messages(text):
                os.write(descriptor, f"{message}\n".encode())
            return
        if self._channel.can_request() and any(map(_unread, (1, 2))):
            self._channel.request(_wire.Drain)
        for message in _messages(text):
            self._channel.send(_wire.Output(level, message))


def _unread(descriptor: int) -> bool:
    """Whether a pipe holds bytes that nobody has read."""
    count = bytearray(4)
    try:
        fcntl.ioctl(descriptor, termios.FIONREAD, count)
    except OSError:  # The action has closed it, or put something else in its place.
        return False
    return any(count)


class Stream(io.TextIOBase):
    """A text stream whose lines are messages."""

    encoding = "utf-8"  # type: ignore[assignment]
    errors = "backslashreplace"  # type: ignore[assignment]
    mode = "w"

    def __init__(self, lines: Lines, level: str, descriptor: int) -> None:
        super().__init__()
        self.name = "<stdout>" if descriptor == 1 else "<stderr>"
        self.buffer: Any = Bytes(self)
        self._lines = lines
        self._level = level
        self._descriptor = descriptor
        self._begun = ""
        """What there is of a line that has not ended, as far as it will be shown."""
        self._size = 0
        """The bytes of that line so far."""
        self._goes_on = False
        """Whether a part of that line was sent already."""
        self._lock = threading.RLock()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return False

    def reconfigure(self, **_: Any) -> None:
        """Nothing to do: lines are sent as soon as they end, always as UTF-8."""

    def write(self, text: str, /) -> int:
        first, end, rest = text.partition("\n")
        with self._lock:
            self._add(first)
            if end:
                ended, end, last = rest.rpartition("\n")
                # The end of a line of which a part was sent already is no line of its own.
                lines = [self._take()] if self._size or not self._goes_on else []
                lines += [ended] if end else []
                self._goes_on = False
                if lines:
                    self._lines.send(self._level, "\n".join(lines), self._descriptor)
                self._add(last)
        return len(text)

    def _add(self, text: str) -> None:
        """To the line that has not ended. Of one that is too long no more is kept than what is shown."""
        size = _size(text)
        if self._size + size <= MAX_LINE_BYTES:
            self._begun += text
        elif self._size <= MAX_LINE_BYTES:
            self._begun += _begin(text, MAX_LINE_BYTES - self._size)
        self._size += size

    def _take(self) -> str:
        begun, size = self._begun, self._size
        self._begun, self._size = "", 0
        return begun if size <= MAX_LINE_BYTES else _cut(begun, size)

    def flush(self) -> None:
        """Sends a line that has not ended: the attempt may be killed before it does."""
        with self._lock:
            if self._size:
                self._goes_on = True
                self._lines.send(self._level, self._take(), self._descriptor)

    def finish(self) -> None:
        """Sends what is left of an attempt: what the next one writes is another line."""
        if self.buffer.used:
            self.buffer.finish()
        if self._size:
            self.flush()
        self._goes_on = False


_Decoder = codecs.getincrementaldecoder("utf-8")


class Bytes(io.RawIOBase):
    """`sys.stdout.buffer`, for code that writes bytes; in order with the text."""

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self._stream = stream
        self._decoder = _Decoder("backslashreplace")
        self.used = False
        """Whether bytes have come that may not be a whole character yet."""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._stream.fileno()

    def write(self, data: Buffer, /) -> int:
        view = memoryview(data)
        self.used = True
        # A character may come in two pieces.
        self._stream.write(self._decoder.decode(bytes(view)))
        return view.nbytes

    def flush(self) -> None:
        self._stream.flush()

    def finish(self) -> None:
        """Shows also what has come of a character that will not be completed."""
        self.used = False
        self._stream.write(self._decoder.decode(b"", final=True))


class LoggingLater:
    """Finds `logging` when the action imports it first, and has it captured from its first record on."""

    def __init__(self, lines: Lines, terminal: tuple[Any, ...]) -> None:
        self._lines = lines
        self._terminal = terminal

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != "logging":
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path)
        loader: Any = spec and spec.loader
        if loader is not None:
            execute = loader.exec_module

            def exec_module(module: Any) -> None:
                execute(module)
                _attach(self._lines, self._terminal)

            loader.exec_module = exec_module
        return spec


def _attach(lines: Lines, terminal: tuple[Any, ...]) -> None:
    from ziet import _logging

    _logging.attach(lines, terminal)


_streams: list[Stream] = []


_terminal: list[Any] = []
"""The streams from before, which write to the descriptors."""


def capture(channel: Channel) -> None:
    """From here on what is printed and logged belongs to the attempt. Done once for a process."""
    before = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    _terminal[:] = {id(stream): stream for stream in before}.values()
    lines = Lines(channel)
    _streams[:] = Stream(lines, "info", 1), Stream(lines, "warn", 2)
    sys.stdout, sys.stderr = _streams  # type: ignore[assignment]
    _process.buffer_c_by_lines()
    if "logging" in sys.modules:
        _attach(lines, (*_terminal, *_streams))
    else:
        sys.meta_path.insert(0, LoggingLater(lines, (*_terminal, *_streams)))


def finish() -> None:
    """Sends what the attempt has written and is still on its way, also to streams of its own and in C."""
    streams = _terminal
    if sys.stdout is not _streams[0] or sys.stderr is not _streams[1]:
        streams = [each for each in (sys.stdout, sys.stderr) if each not in _streams] + _terminal
    for stream in streams:
        try:
            stream.flush()
        except Exception:  # noqa: BLE001 - closed, or one that the action has made
            pass
    _process.flush_c()
    for stream in _streams:
        stream.finish()


def restore() -> None:
    """Captures again what the action has directed elsewhere."""
    sys.stdout, sys.stderr = _streams  # type: ignore[assignment]
    logs = sys.modules.get("ziet._logging")
    if logs is not None:
        logs.attach_again()
