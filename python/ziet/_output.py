"""Captures what an action prints and logs, in order and line by line.

`sys.stdout` becomes INFO, `sys.stderr` WARN, and `logging` keeps its levels from INFO up. What C code or child
processes write to the file descriptors themselves takes another way: pipes that the Rust program reads. Before a line
is sent, it is told to pass on what those hold.
"""

from __future__ import annotations

import fcntl
import io
import os
import sys
import termios
import threading
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any

from ziet import _wire
from ziet._channel import Channel

if TYPE_CHECKING:
    from typing_extensions import Buffer

_LONGEST_LINE = 65_536
"""Characters of a line after which it is sent although it has not ended."""

_LONGEST_TEXT = 1_000_000
"""Characters of one message."""


class Lines:
    """Sends text as lines of the attempt."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def send(self, level: str, text: str, descriptor: int) -> None:
        """In a process that the action forked, writes to the descriptor as any other program would."""
        if not self._channel.here:
            os.write(descriptor, f"{text}\n".encode("utf-8", "backslashreplace"))
            return
        if self._channel.can_request() and any(map(_unread, (1, 2))):
            self._channel.request(_wire.Drain)
        text = text.encode("utf-8", "backslashreplace").decode()
        for start in range(0, len(text) or 1, _LONGEST_TEXT):
            self._channel.send(_wire.Output(level, text[start : start + _LONGEST_TEXT]))


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
        self._partial = ""
        self._cut = False
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
        with self._lock:
            *ended, self._partial = (self._partial + text).split("\n")
            if ended:
                # The end of a line of which a part was sent already is no line of its own.
                if self._cut and not ended[0]:
                    del ended[0]
                self._cut = False
            if ended:
                self._lines.send(self._level, "\n".join(ended), self._descriptor)
            if len(self._partial) > _LONGEST_LINE:
                self.flush()
        return len(text)

    def flush(self) -> None:
        """Sends a line that has not ended: the attempt may be killed before it does."""
        with self._lock:
            if self._partial:
                partial, self._partial, self._cut = self._partial, "", True
                self._lines.send(self._level, partial, self._descriptor)


class Bytes(io.RawIOBase):
    """`sys.stdout.buffer`, for code that writes bytes; in order with the text."""

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self._stream = stream

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._stream.fileno()

    def write(self, data: Buffer, /) -> int:
        view = memoryview(data)
        self._stream.write(bytes(view).decode("utf-8", "backslashreplace"))
        return view.nbytes

    def flush(self) -> None:
        self._stream.flush()


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


def capture(channel: Channel) -> None:
    """From here on what is printed and logged belongs to the attempt. Done once for a process."""
    if _streams:
        return
    old = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    lines = Lines(channel)
    _streams.extend((Stream(lines, "info", 1), Stream(lines, "warn", 2)))
    sys.stdout, sys.stderr = _streams  # type: ignore[assignment]
    if "logging" in sys.modules:
        _attach(lines, old)
    else:
        sys.meta_path.insert(0, LoggingLater(lines, old))


def flush() -> None:
    for stream in _streams:
        stream.flush()
