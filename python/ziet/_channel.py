"""The executor's connection to the Rust program, shared by all threads of an action.

Requests carry numbers and are answered by them, in any order: a thread that waits for a child run does not hold up one
that adds to memory. One of the waiting threads reads and hands the others their answers, so no thread of Ziet's own
runs beside the action. A signal handler may print in the middle of anything, so sending can be interrupted by itself.
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Callable

from ziet import _process, _wire
from ziet._errors import ZietError


class Channel:
    """Sends messages and waits for answers; usable only in the process that made it."""

    def __init__(self, connection: socket.socket) -> None:
        # The project may have set a default for its own sockets.
        connection.settimeout(None)
        self._put = connection.send
        self._reader = _wire.Reader(connection, _wire.ToExecutor)
        self._unsent: deque[bytes | memoryview] = deque()
        self._sending = threading.RLock()
        self._sender = 0
        self._answered = threading.Condition()
        self._reads = 0
        self._answers: dict[int, list[_wire.Answer]] = {}
        self._next = 0
        self._here = _process.identity()

    @property
    def here(self) -> bool:
        """Whether this is the process that the program speaks with, not one that it forked."""
        return bool(self._here())

    def next_start(self) -> _wire.Start:
        """The next attempt; called between attempts, when no thread waits. `EOFError` when there is none any more."""
        while True:
            message = self._reader.read()
            if isinstance(message, _wire.Start):
                self._next = message.first_call
                self._answers.clear()
                return message
            # An answer to a request that its thread gave up.

    def send(self, message: _wire.Message) -> None:
        """Sends, or, where it interrupts this very thread while it sends, leaves that to the interrupted call."""
        if not self._here():
            raise _elsewhere()
        unsent = self._unsent
        unsent.append(_wire.encode(message))
        with self._sending:
            if self._sender:
                return
            self._sender = threading.get_ident()
            try:
                while unsent:
                    # What was sent is taken away at once: an exception of a signal handler may come at any point.
                    data = unsent[0]
                    sent = self._put(data)
                    if sent == len(data):
                        unsent.popleft()
                    else:
                        unsent[0] = memoryview(data)[sent:]
            finally:
                self._sender = 0

    def request(self, make: Callable[[int], _wire.Message]) -> list[_wire.Answer]:
        """Sends what `make` makes of a fresh number and returns the answer: one message, or several that belong
        together. Returns after the commit that the answer speaks of."""
        if not self._here():
            raise _elsewhere()
        if threading.get_ident() in (self._sender, self._reads):
            raise ZietError(
                "a signal handler came while Ziet was at work in the same thread: "
                "it cannot use memory, call actions or integrations there"
            )
        with self._answered:
            number = self._next
            self._next += 1
            self._answers[number] = []
        try:
            self.send(make(number))
            return self._wait(number)
        finally:
            with self._answered:
                self._answers.pop(number, None)

    def abandon(self, number: int) -> None:
        """Has the thread that waits for this request give up, and the program know it."""
        with self._answered:
            self._answers.pop(number, None)
            self._answered.notify_all()
        self.send(_wire.Abandon(number))
        # It may be the one that reads: an answer, whosever it is, lets it see that nobody waits for its own any more.
        self.request(_wire.Drain)

    def can_request(self) -> bool:
        """Whether this thread is not in the middle of a request or of sending."""
        return self.here and threading.get_ident() not in (self._sender, self._reads)

    def _wait(self, number: int) -> list[_wire.Answer]:
        with self._answered:
            while True:
                answers = self._answers.get(number)
                if answers is None:
                    raise ZietError("the call was given up")
                if answers and not getattr(answers[-1], "more", False):
                    return answers
                if self._reads:
                    self._answered.wait()
                else:
                    self._read_one()

    def _read_one(self) -> None:
        """Reads without holding the lock, so that others can send requests meanwhile."""
        self._reads = threading.get_ident()
        self._answered.release()
        try:
            answer = self._reader.read()
        finally:
            self._answered.acquire()
            self._reads = 0
            self._answered.notify_all()
        if answer.request in self._answers:
            self._answers[answer.request].append(answer)


def _elsewhere() -> ZietError:
    return ZietError("only the process of the action itself can use memory, call actions and integrations")
