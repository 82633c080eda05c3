"""HTTP/1.1 without sockets: a request as bytes, and an answer from the bytes that come.

Only as much of it as talks with a server of ours through any proxy. The drivers move the bytes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

_HEAD_BYTES = 64 * 1024
_LINE_BYTES = 1024


class Request(NamedTuple):
    """What is asked of the server."""

    method: str
    path: str
    """With the query."""
    body: bytes | None = None
    wait: float = 0
    """Seconds for which the server has been asked to take its time."""
    repeatable: bool = True
    """Whether doing it twice is the same as doing it once."""
    live: bool = False
    """Whether the answer is read while it comes."""
    last_event: str = ""
    """The last event that was seen of a live answer."""
    first: int = 0
    """Of a request for some of many runs: the number of its first one."""

    def encoded(self, prefix: str, headers: str) -> bytes:
        """All of it; `prefix` goes before the path, and `headers` are those that all requests have."""
        head = f"{self.method} {prefix}{self.path} HTTP/1.1\r\n{headers}"
        if self.live:
            head += "Accept: text/event-stream\r\n"
        if self.last_event:
            head += f"Last-Event-ID: {self.last_event}\r\n"
        if self.body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(self.body)}\r\n"
        elif self.method != "GET":
            head += "Content-Length: 0\r\n"
        return (head + "\r\n").encode("latin-1") + (self.body or b"")


class Answer(NamedTuple):
    """What the server answered."""

    status: int
    headers: dict[str, str]
    """By their names in lower case."""
    body: bytes
    """Of one that is read while it comes: what came with the headers."""
    live: Any = None
    """Of one that is read while it comes: what the driver reads it from."""


class Unanswered(Exception):
    """There is no answer. The cause is what went wrong."""

    def __init__(self, *, sent: bool, stale: bool = False, hopeless: bool = False) -> None:
        super().__init__()
        self.sent = sent
        """Whether some of the request may have reached the server."""
        self.stale = stale
        """Whether the connection had been used before, and may have been closed since by the server."""
        self.hopeless = hopeless
        """Whether it will not be otherwise the next time."""


class Garbled(OSError):
    """What came is no HTTP."""


class Incoming:
    """One answer on its way in."""

    __slots__ = ("_chunked", "_held", "_left", "_to_the_end", "complete", "headers", "keeps", "status")

    def __init__(self) -> None:
        self.status = 0
        """0 until all headers are there."""
        self.headers: dict[str, str] = {}
        self.complete = False
        self.keeps = False
        """Whether the connection can be used for another request, once this is complete."""
        self._held: bytes = b""
        self._left = 0
        """Bytes of the body, or of its chunk, that are to come; with `_chunked` -1 between two chunks."""
        self._chunked = False
        self._to_the_end = False

    def feed(self, data: bytes) -> bytes:
        """Takes in what came, nothing at the end of the connection, and gives what is of the body.

        Raises:
            Garbled: It is no HTTP, or ends too early.
        """
        if not data:
            self.complete = self._to_the_end
            if not self.complete:
                raise Garbled("the connection was closed before the end of the answer")
            return b""
        if not self.status:
            data = self._head(self._held + data)
            if not self.status:
                return b""
        if self._chunked:
            return self._chunks(data)
        if self._to_the_end:
            return data
        return self._counted(data)

    def _head(self, data: bytes) -> bytes:
        """Reads status and headers if they are all there, and gives what follows them."""
        end = data.find(b"\r\n\r\n")
        if end < 0:
            if len(data) > _HEAD_BYTES:
                raise Garbled("the headers of the answer have no end")
            self._held = data
            return b""
        self._held = b""
        first, *lines = data[:end].decode("latin-1").split("\r\n")
        version, _, rest = first.partition(" ")
        if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
            raise Garbled(f"this is no HTTP/1.1: {first[:80]!r}")
        status = int(rest[:3])
        if 100 <= status < 200:
            return self._head(data[end + 4 :])
        for line in lines:
            name, _, value = line.partition(":")
            self.headers[name.lower()] = value.strip()
        self.status = status
        self._chunked = "chunked" in self.headers.get("transfer-encoding", "").lower()
        self._left = -1 if self._chunked else self._length()
        self.keeps = version == "HTTP/1.1" and self.headers.get("connection", "").lower() != "close"
        self.keeps = self.keeps and not self._to_the_end
        self.complete = not self._chunked and not self._to_the_end and self._left == 0
        return data[end + 4 :]

    def _length(self) -> int:
        if self.status in (204, 304):
            return 0
        length = self.headers.get("content-length")
        if length is None:
            self._to_the_end = True
            return 0
        if not (length.isascii() and length.isdigit()):
            raise Garbled(f"the answer has no length: {length[:80]!r}")
        return int(length)

    def _counted(self, data: bytes) -> bytes:
        body = data[: self._left]
        self._left -= len(body)
        if self._left == 0:
            self.complete = True
            # Nobody asked for more: what follows cannot be the answer to the next request.
            self.keeps = self.keeps and len(body) == len(data)
        return body

    def _chunks(self, data: bytes) -> bytes:
        data, self._held = self._held + data, b""
        body: list[bytes] = []
        at = 0
        while at < len(data) and not self.complete:
            if self._left > 0:
                piece = data[at : at + self._left]
                body.append(piece)
                at += len(piece)
                self._left -= len(piece)
                continue
            end = data.find(b"\r\n", at)
            if end < 0:
                if len(data) - at > _LINE_BYTES:
                    raise Garbled("a chunk of the answer has no length")
                self._held = data[at:]
                break
            self._line(data[at:end])
            at = end + 2
        if self.complete:
            self.keeps = self.keeps and at == len(data)
        return b"".join(body)

    def _line(self, line: bytes) -> None:
        """A line between chunks. `_left` is 0 behind a chunk, -1 before one, and -2 behind the last."""
        if self._left == 0:
            if line:
                raise Garbled("a chunk of the answer is longer than it says")
            self._left = -1
        elif self._left == -2:
            self.complete = not line
        else:
            length = line.partition(b";")[0].strip()
            try:
                self._left = int(length, 16) or -2
            except ValueError:
                self._left = -3
            if self._left < -2 or not length.isalnum():
                raise Garbled(f"a chunk of the answer has no length: {line[:80]!r}")


class Event(NamedTuple):
    """A server-sent event."""

    name: str
    id: str
    data: bytes


class Events:
    """Server-sent events from the bytes that come. Comments are passed over."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> list[Event]:
        """The events that are complete with these bytes."""
        *events, self._held = (self._held + data).replace(b"\r\n", b"\n").split(b"\n\n")
        return [event for text in events if (event := _event(text)) is not None]


def _event(text: bytes) -> Event | None:
    fields = {b"event": b"", b"id": b""}
    lines: list[bytes] = []
    for line in text.split(b"\n"):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            lines.append(value)
        elif name in fields:
            fields[name] = value
    if not lines:
        return None
    return Event(fields[b"event"].decode(), fields[b"id"].decode(), b"\n".join(lines))
