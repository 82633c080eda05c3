"""Sends what an action logs as lines of its own level. Imported only where `logging` is, which takes its time."""

from __future__ import annotations

import logging
from typing import Any

from ziet._output import Lines


class Handler(logging.Handler):
    """Takes records from INFO up."""

    def __init__(self, lines: Lines) -> None:
        super().__init__(logging.INFO)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception:  # noqa: BLE001 - wrong arguments of a log call must not fail the action
            self.handleError(record)
            return
        level = "error" if record.levelno >= logging.ERROR else "warn" if record.levelno >= logging.WARNING else "info"
        self._lines.send(level, text, 2)


def attach(lines: Lines, terminal: tuple[Any, ...]) -> None:
    """From here on records are lines. Handlers of the project that log to one of the streams in `terminal` are taken
    away: they would tell every record twice."""
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, logging.StreamHandler) and handler.stream in terminal:  # type: ignore[misc]
            root.removeHandler(handler)  # type: ignore[arg-type]
    root.addHandler(Handler(lines))
    if root.level == logging.WARNING:  # As logging itself sets it, so nobody chose it.
        root.setLevel(logging.INFO)
