"""Both clients of the SDK behind one face, and what tests of them have at hand: gates that hold runs, and a server that
comes back where it was."""

from __future__ import annotations

import asyncio
import inspect
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import ziet
from pages import free_address
from program import Ziet
from server import Server

PATIENCE_SECONDS = 60


class Blocking:
    """An `AsyncClient`, or what belongs to one, that is called as a `Client` is: each call runs the loop to its end."""

    def __init__(self, client: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        wanted = getattr(self._client, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            came = wanted(*args, **kwargs)
            if inspect.isawaitable(came):
                return self._done(came)
            return self._each(came) if isinstance(came, AsyncIterator) else Blocking(came, self._loop)

        return call

    def _done(self, awaitable: Any) -> Any:
        async def all_of_it() -> Any:
            return await awaitable

        return self._loop.run_until_complete(all_of_it())

    def _each(self, values: AsyncIterator[Any]) -> Iterator[Any]:
        while True:
            try:
                yield self._done(values.__anext__())
            except StopAsyncIteration:
                return


class Maker:
    """Makes clients of one kind, and closes them in the end."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._made: list[Any] = []
        self._loop = asyncio.new_event_loop()

    def __call__(self, server: Server, **options: Any) -> Any:
        given = {"url": server.url, "key": server.key} | options
        client: Any = (
            ziet.Client(**given) if self._kind == "Client" else Blocking(ziet.AsyncClient(**given), self._loop)
        )
        self._made.append(client)
        return client

    def close(self) -> None:
        for client in self._made:
            client.close()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()


class Gate:
    """Holds whoever connects to it until it is opened, and from then on nobody."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self._came = threading.Condition()
        self._held: list[socket.socket] = []
        self._count = 0
        self._is_open = False
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def until(self, count: int = 1) -> None:
        """Waits until so many have come."""
        with self._came:
            assert self._came.wait_for(lambda: self._count >= count, PATIENCE_SECONDS), self._count

    def open(self) -> None:
        """Lets all go on, also those that come later."""
        with self._came:
            self._is_open = True
            while self._held:
                self._held.pop().close()

    def close(self) -> None:
        """Ends it."""
        self.open()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._came:
                self._count += 1
                if self._is_open:
                    connection.close()
                else:
                    self._held.append(connection)
                self._came.notify_all()


def serve(ziet: Ziet, *options: str, **environment: str) -> Server:
    """A server that listens at the same address after each start, since clients have to find it again."""
    project = ziet.project("clients")
    return ziet.serve(project, "--listen", free_address(), "--sandbox", "off", *options, **environment)


def restarted(server: Server) -> None:
    """Kills the server and starts it again."""
    server.kill()
    server.start()


def meanwhile(what: Any) -> threading.Thread:
    """Does something while the test waits in a client. To be joined."""
    thread = threading.Thread(target=what)
    thread.start()
    return thread
