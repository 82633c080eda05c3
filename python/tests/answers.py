"""A server that answers what a test tells it to, byte by byte: also what no good server would."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

JSON = b"Content-Type: application/json\r\n"


def answer(status, body=b"", headers=b""):
    return b"HTTP/1.1 %d Told\r\n%b%bContent-Length: %d\r\n\r\n%b" % (status, JSON, headers, len(body), body)


class Answers:
    """Takes one request after the other. To each it says the next of what it is given: bytes, after which the
    connection stays; None, which hangs up without a word; or a function that is given the connection and the request,
    and hangs up after it."""

    def __init__(self, *said: bytes | Callable[[socket.socket, bytes], None] | None):
        self._said = list(said)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests: list[bytes] = []
        """Each with its headers and body."""
        self.connections = 0
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self._ended = False
        self._start(self._accept)

    def _start(self, target, *args):
        self._threads.append(threading.Thread(target=target, args=args))
        self._threads[-1].start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            self._start(self._serve, connection)

    def _serve(self, connection):
        with connection, connection.makefile("rb") as reader:
            while request := self._read(reader):
                self.requests.append(request)
                if not self._said:
                    return
                said = self._said.pop(0)
                if said is None:
                    return
                if callable(said):
                    said(connection, request)
                    return
                connection.sendall(said)

    def _read(self, reader):
        lines = []
        length = 0
        try:
            while (line := reader.readline()) not in (b"\r\n", b""):
                lines.append(line)
                if line.lower().startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            return b"".join(lines) + reader.read(length)
        except OSError:
            return b""

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self._threads:
            thread.join()
