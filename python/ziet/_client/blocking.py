"""The connections of a client that blocks. Used from any number of threads: each request has a connection to itself."""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, TypeVar

from ziet._client.http import Answer, Incoming, Request, Unanswered
from ziet._client.server import Server
from ziet._client.steps import Course, Give, More, Pause, Step, Steps

_READ_BYTES = 256 * 1024
IDLE_SECONDS = 60
"""How long a connection is kept that nobody uses: the server, and proxies, let go of it a little later."""

T = TypeVar("T")


class Connection:
    """One connection to the server."""

    __slots__ = ("idle_since", "socket")

    def __init__(self, socket: socket.socket) -> None:
        self.socket = socket
        self.idle_since = 0.0

    def close(self) -> None:
        """Hangs up."""
        self.socket.close()


class Connections:
    """Takes steps, over connections that are kept for the next ones."""

    def __init__(self, server: Server) -> None:
        self._server = server
        # Its methods are safe between threads, so that no lock can be held by another thread while a process is forked.
        self._idle: deque[Connection] = deque()
        self._process = os.getpid()

    def drive(self, steps: Steps[T]) -> T:
        """Takes all steps, and gives what comes of them."""
        course = Course(steps)
        step = course.next()
        while step is not None:
            step = self._take(course, step)
        return course.result

    def iterate(self, steps: Steps[None]) -> Iterator[Any]:
        """Takes the steps as their values are asked for."""
        course = Course(steps)
        try:
            step = course.next()
            while step is not None:
                if isinstance(step, Give):
                    yield step.value
                    step = course.next()
                else:
                    step = self._take(course, step)
        finally:
            course.close()

    def close(self) -> None:
        """Hangs up where nothing is on its way."""
        while (connection := self._idle_one()) is not None:
            connection.close()

    def __del__(self) -> None:
        self.close()

    def _take(self, course: Course[Any], step: Step) -> Step | None:
        try:
            if isinstance(step, Request):
                answer = self._answer(step)
                if answer.live is not None:
                    course.hold(answer.live)
                return course.next(answer)
            if isinstance(step, More):
                return course.next(step.answer.live.read())
        except Unanswered as failure:
            return course.failed(failure)
        assert isinstance(step, Pause)
        time.sleep(step.seconds)
        return course.next()

    def _answer(self, request: Request) -> Answer:
        timeout = request.wait + self._server.timeout / 2
        # One that was used before may have been closed by now: what must not be done twice is not risked on it.
        connection = self._idle_one() if request.repeatable else None
        reused = connection is not None
        incoming = Incoming()
        sent = False
        try:
            connection = connection or self._connect()
            sent = True
            connection.socket.settimeout(timeout)
            answer = self._exchange(connection, request, incoming)
        except OSError as error:
            if connection is not None:
                connection.close()
            stale = reused and not incoming.status and not isinstance(error, TimeoutError)
            raise Unanswered(sent=sent, stale=stale, hopeless=hasattr(error, "verify_code")) from error
        except BaseException:
            if connection is not None:
                connection.close()
            raise
        if answer.live is None:
            self._keep(connection, incoming)
        return answer

    def _exchange(self, connection: Connection, request: Request, incoming: Incoming) -> Answer:
        try:
            connection.socket.sendall(request.encoded(self._server.prefix, self._server.headers))
        except (BrokenPipeError, ConnectionResetError):
            # It may have been refused before all of it was sent: then the answer is there.
            pass
        parts: list[bytes] = []
        while not incoming.complete:
            parts.append(incoming.feed(connection.socket.recv(_READ_BYTES)))
            if request.live and incoming.status == 200:
                return Answer(200, incoming.headers, b"", _Live(connection, incoming, b"".join(parts)))
        return Answer(incoming.status, incoming.headers, b"".join(parts))

    def _keep(self, connection: Connection, incoming: Incoming) -> None:
        if incoming.keeps and self._process == os.getpid():
            connection.idle_since = time.monotonic()
            self._idle.append(connection)
        else:
            connection.close()

    def _idle_one(self) -> Connection | None:
        """The one that was used last."""
        if self._process != os.getpid():
            # In a forked child: they are the parent's, and closing them here takes nothing away from it.
            self._process = os.getpid()
            for connection in self._idle:
                connection.close()
            self._idle.clear()
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            if time.monotonic() - connection.idle_since < IDLE_SECONDS:
                return connection
            connection.close()

    def _connect(self) -> Connection:
        server = self._server
        made = socket.create_connection(server.address, server.timeout / 2)
        try:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if server.tunnel:
                made.sendall(server.tunnel)
                incoming = Incoming()
                while not incoming.status:
                    incoming.feed(made.recv(_READ_BYTES))
                server.check_tunnel(incoming)
            if server.tls is not None:
                made = server.tls.wrap_socket(made, server_hostname=server.host)
        except BaseException:
            made.close()
            raise
        return Connection(made)


class _Live:
    """What is left of an answer that is read while it comes."""

    def __init__(self, connection: Connection, incoming: Incoming, begun: bytes) -> None:
        self._connection = connection
        self._incoming = incoming
        self._begun = begun

    def read(self) -> bytes:
        """What came next, nothing at the end."""
        data, self._begun = self._begun, b""
        try:
            while not data and not self._incoming.complete:
                data = self._incoming.feed(self._connection.socket.recv(_READ_BYTES))
        except OSError as error:
            raise Unanswered(sent=True) from error
        return data

    def close(self) -> None:
        """Hangs up."""
        self._connection.close()
