"""What tests of clients have at hand: gates that hold runs, and a server that comes back where it was."""

from __future__ import annotations

import socket
import threading
from typing import Any

from pages import free_address
from program import Ziet
from server import Server

PATIENCE_SECONDS = 60


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
