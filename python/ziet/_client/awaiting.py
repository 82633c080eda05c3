"""The connections of a client that awaits, all within one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import AsyncIterator, Generator
from typing import Any, TypeVar

from ziet._client.blocking import IDLE_SECONDS
from ziet._client.http import Answer, Incoming, Request, Unanswered
from ziet._client.server import Server
from ziet._client.steps import Course, Give, More, Pause, Step, Steps

_READ_BYTES = 256 * 1024
_WAITING = 256
"""Requests at a time for which a run is waited for. Further ones await their turn, and hold up no others."""
_ASKING = 64
"""Other requests at a time."""

T = TypeVar("T")


class Connection:
    """One connection to the server."""

    __slots__ = ("expired", "idle_since", "reader", "writer")

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.idle_since = 0.0
        self.expired = False

    @contextlib.contextmanager
    def within(self, seconds: float) -> Generator[None]:
        """Hangs up if what is done in it takes longer."""
        timer = asyncio.get_running_loop().call_later(seconds, self._expire)
        try:
            yield
        except OSError:
            if self.expired:
                raise TimeoutError("it does not answer") from None
            raise
        finally:
            timer.cancel()

    def close(self) -> None:
        """Hangs up."""
        with contextlib.suppress(RuntimeError):  # Its loop may be closed, and the connection with it.
            self.writer.transport.abort()

    def _expire(self) -> None:
        self.expired = True
        self.close()


class Connections:
    """Takes steps, over connections that are kept for the next ones."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle: deque[Connection] = deque()
        self._waiting = self._asking = asyncio.Semaphore(0)

    async def drive(self, steps: Steps[T]) -> T:
        """Takes all steps, and gives what comes of them."""
        course = Course(steps)
        step = course.next()
        while step is not None:
            step = await self._take(course, step)
        return course.result

    async def iterate(self, steps: Steps[None]) -> AsyncIterator[Any]:
        """Takes the steps as their values are asked for."""
        course = Course(steps)
        try:
            step = course.next()
            while step is not None:
                if isinstance(step, Give):
                    yield step.value
                    step = course.next()
                else:
                    step = await self._take(course, step)
        finally:
            course.close()

    def close(self) -> None:
        """Hangs up where nothing is on its way."""
        while self._idle:
            self._idle.pop().close()

    async def _take(self, course: Course[Any], step: Step) -> Step | None:
        try:
            if isinstance(step, Request):
                answer = await self._in_turn(step)
                if answer.live is not None:
                    course.hold(answer.live)
                return course.next(answer)
            if isinstance(step, More):
                return course.next(await step.answer.live.read())
        except Unanswered as failure:
            return course.failed(failure)
        assert isinstance(step, Pause)
        await asyncio.sleep(step.seconds)
        return course.next()

    async def _in_turn(self, request: Request) -> Answer:
        self._adopt(asyncio.get_running_loop())
        async with self._waiting if request.wait else self._asking:
            return await self._answer(request)

    def _adopt(self, loop: asyncio.AbstractEventLoop) -> None:
        """Belongs to the loop that it is used in, until that is closed."""
        if self._loop is loop:
            return
        if self._loop is not None and not self._loop.is_closed():
            raise RuntimeError(
                "this AsyncClient belongs to another event loop, which still runs: make one for this loop"
            )
        self.close()
        self._loop = loop
        self._waiting, self._asking = asyncio.Semaphore(_WAITING), asyncio.Semaphore(_ASKING)

    async def _answer(self, request: Request) -> Answer:
        # One that was used before may have been closed by now: what must not be done twice is not risked on it.
        connection = self._idle_one() if request.repeatable else None
        reused = connection is not None
        incoming = Incoming()
        sent = False
        try:
            connection = connection or await self._connect()
            sent = True
            with connection.within(request.wait + self._server.timeout / 2):
                answer = await self._exchange(connection, request, incoming)
        except OSError as error:
            if connection is not None:
                connection.close()
            stale = reused and not incoming.status and not isinstance(error, TimeoutError)
            raise Unanswered(sent=sent, stale=stale, hopeless=hasattr(error, "verify_code")) from error
        except BaseException:
            # Given up, so its answer is still to come: nobody else may get that.
            if connection is not None:
                connection.close()
            raise
        if answer.live is None:
            self._keep(connection, incoming)
        return answer

    async def _exchange(self, connection: Connection, request: Request, incoming: Incoming) -> Answer:
        try:
            connection.writer.write(request.encoded(self._server.prefix, self._server.headers))
            await connection.writer.drain()
        except (BrokenPipeError, ConnectionResetError):
            # It may have been refused before all of it was sent: then the answer is there.
            pass
        parts: list[bytes] = []
        while not incoming.complete:
            parts.append(incoming.feed(await connection.reader.read(_READ_BYTES)))
            if request.live and incoming.status == 200:
                live = _Live(connection, incoming, b"".join(parts), request.wait + self._server.timeout / 2)
                return Answer(200, incoming.headers, b"", live)
        return Answer(incoming.status, incoming.headers, b"".join(parts))

    def _keep(self, connection: Connection, incoming: Incoming) -> None:
        if incoming.keeps:
            connection.idle_since = self._now()
            self._idle.append(connection)
        else:
            connection.close()

    def _idle_one(self) -> Connection | None:
        """The one that was used last."""
        while self._idle:
            connection = self._idle.pop()
            if self._now() - connection.idle_since < IDLE_SECONDS and not connection.reader.at_eof():
                return connection
            connection.close()
        return None

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def _connect(self) -> Connection:
        try:
            return await asyncio.wait_for(self._connected(), self._server.timeout / 2)
        except asyncio.TimeoutError:
            # Not always the builtin one before Python 3.11.
            raise TimeoutError("it does not answer") from None

    async def _connected(self) -> Connection:
        server = self._server
        if not server.tunnel:
            host, port = server.address
            return Connection(*await asyncio.open_connection(host, port, ssl=server.tls))
        made = await self._tunnelled()
        try:
            streams = await asyncio.open_connection(sock=made, ssl=server.tls, server_hostname=server.host)
        except BaseException:
            made.close()
            raise
        return Connection(*streams)

    async def _tunnelled(self) -> socket.socket:
        """A connection through the proxy, on which encryption can begin."""
        server, loop = self._server, asyncio.get_running_loop()
        # Proxies are near: their names are looked up, and they are connected to, in a thread.
        made = await asyncio.to_thread(socket.create_connection, server.address, server.timeout / 2)
        try:
            made.setblocking(False)
            await loop.sock_sendall(made, server.tunnel)
            incoming = Incoming()
            while not incoming.status:
                incoming.feed(await loop.sock_recv(made, _READ_BYTES))
            server.check_tunnel(incoming)
        except BaseException:
            made.close()
            raise
        return made


class _Live:
    """What is left of an answer that is read while it comes."""

    def __init__(self, connection: Connection, incoming: Incoming, begun: bytes, silence: float) -> None:
        self._connection = connection
        self._incoming = incoming
        self._begun = begun
        self._silence = silence

    async def read(self) -> bytes:
        """What came next, nothing at the end."""
        data, self._begun = self._begun, b""
        try:
            with self._connection.within(self._silence):
                while not data and not self._incoming.complete:
                    data = self._incoming.feed(await self._connection.reader.read(_READ_BYTES))
        except OSError as error:
            raise Unanswered(sent=True) from error
        return data

    def close(self) -> None:
        """Hangs up."""
        self._connection.close()
