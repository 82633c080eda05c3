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


_attached: list[tuple[Handler, tuple[Any, ...]]] = []


def attach(lines: Lines, streams: tuple[Any, ...]) -> None:
    """From here on records are lines. Handlers of the project that log to one of `streams`, which end as lines too, are
    taken away: they would tell every record twice."""
    _attached[:] = [(Handler(lines), streams)]
    attach_again()
    if logging.root.level == logging.WARNING:  # As logging itself sets it, so nobody chose it.
        logging.root.setLevel(logging.INFO)


def attach_again() -> None:
    """The same where an action has taken the handler away."""
    for handler, streams in _attached:
        if handler in logging.root.handlers:
            continue
        for other in logging.root.handlers[:]:
            if isinstance(other, logging.StreamHandler) and any(other.stream is each for each in streams):  # type: ignore[misc]
                logging.root.removeHandler(other)  # type: ignore[arg-type]
        logging.root.addHandler(handler)
