"""Captures what an action prints and logs, in order and line by line.

`sys.stdout` becomes INFO, `sys.stderr` WARN, and `logging` keeps its levels from INFO up. What C code or child
processes write to the file descriptors themselves takes another way: pipes that the Rust program reads.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
from typing import Any

from ziet import _wire
from ziet._channel import Channel

_LONGEST_LINE = 65_536
"""Characters of a line after which it is sent although it has not ended."""


class Stream(io.TextIOBase):
    """A text stream whose lines are messages; in a forked child it writes to the file descriptor as any other would."""

    def __init__(self, channel: Channel, level: str, descriptor: int) -> None:
        super().__init__()
        self._channel = channel
        self._level = level
        self._descriptor = descriptor
        self._partial = ""
        self._lock = threading.RLock()

    encoding = "utf-8"  # type: ignore[assignment]
    errors = "backslashreplace"  # type: ignore[assignment]

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return False

    def reconfigure(self, **_: Any) -> None:
        """Nothing to do: lines are sent as soon as they end, always as UTF-8."""

    @property
    def buffer(self) -> Any:
        """For code that writes bytes."""
        return io.FileIO(self._descriptor, "w", closefd=False)

    def write(self, text: str, /) -> int:
        if not self._channel.here:
            os.write(self._descriptor, text.encode("utf-8", "backslashreplace"))
            return len(text)
        with self._lock:
            self._partial += text
            *lines, self._partial = self._partial.split("\n")
            if lines:
                self._send("\n".join(lines))
            if len(self._partial) > _LONGEST_LINE:
                self.send_partial()
        return len(text)

    def send_partial(self) -> None:
        """Sends a line that has not ended; at the end of an attempt nothing more will come."""
        with self._lock:
            if self._partial:
                self._send(self._partial)
                self._partial = ""

    def _send(self, text: str) -> None:
        text = text.encode("utf-8", "backslashreplace").decode()
        for start in range(0, len(text), 1_000_000) or (0,):
            self._channel.send(_wire.Output(self._level, text[start : start + 1_000_000]))


class Handler(logging.Handler):
    """Sends log records as lines of their own level."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(logging.INFO)
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception:  # noqa: BLE001 - wrong arguments of a log call must not fail the action
            self.handleError(record)
            return
        if not self._channel.here:
            os.write(2, f"{text}\n".encode("utf-8", "backslashreplace"))
            return
        level = "error" if record.levelno >= logging.ERROR else "warn" if record.levelno >= logging.WARNING else "info"
        self._channel.send(_wire.Output(level, text.encode("utf-8", "backslashreplace").decode()))


_streams: list[Stream] = []


def capture(channel: Channel) -> None:
    """From here on what is printed and logged belongs to the attempt. Done once for a process."""
    if _streams:
        return
    old = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    _streams.extend((Stream(channel, "info", 1), Stream(channel, "warn", 2)))
    sys.stdout, sys.stderr = _streams  # type: ignore[assignment]
    root = logging.getLogger()
    for handler in root.handlers[:]:
        # What the project set up to log to the terminal would tell every record twice.
        if isinstance(handler, logging.StreamHandler) and handler.stream in old:  # type: ignore[misc]
            root.removeHandler(handler)  # type: ignore[arg-type]
    root.addHandler(Handler(channel))
    if root.level == logging.WARNING:  # As logging itself sets it, so nobody chose it.
        root.setLevel(logging.INFO)


def flush() -> None:
    for stream in _streams:
        stream.send_partial()
