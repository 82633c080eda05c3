"""The messages between the Rust program, the zygote and its executors, and how they are framed.

`ziet-core::wire` writes the same messages a first time; the vectors in `crates/ziet-core/tests/vectors` hold both to
the same bytes. New fields have defaults and go last; a field never changes its type.
"""

from __future__ import annotations

import functools
import socket
import struct
from typing import Any

import msgspec

PROTOCOL = 2
"""The version of these messages; it goes up when an old peer could misunderstand a new one."""

OLDEST_PROTOCOL = PROTOCOL - 1
"""The oldest version that is spoken: the one before."""

FRAME_BYTES = 8 * 1024 * 1024
"""The longest message, as on the other side."""


def _tag(name: str) -> str:
    return "".join("_" + char.lower() if char.isupper() else char for char in name).lstrip("_")


class Message(msgspec.Struct, tag_field="type", tag=_tag):
    """A map with its `type`, which is the class's name in snake case."""


class Local(msgspec.Struct):
    name: str
    value: str


class Frame(msgspec.Struct, omit_defaults=True):
    file: str
    line: int
    function: str
    source: str | None
    user: bool
    locals: list[Local] = []
    left_out: int = 0
    cycle: int = 0


class RelatedError(msgspec.Struct, omit_defaults=True):
    """An error that another one came from ("cause", "context", "child" for that of a child run), or a "member" of a
    group."""

    relation: str
    type: str
    message: str
    frames: list[Frame]
    notes: list[str] = []
    related: list[RelatedError] = []
    left_out: int = 0


class Failure(msgspec.Struct, omit_defaults=True):
    """Why an attempt did not complete; `code` is one of the stable error codes."""

    type: str
    message: str
    traceback: str | None
    code: str
    retryable: bool
    frames: list[Frame]
    notes: list[str] = []
    related: list[RelatedError] = []
    left_out: int = 0


class Parameter(msgspec.Struct):
    name: str
    type: str
    required: bool
    default: bytes | None
    text: str
    description: str | None = None


class Stored(msgspec.Struct):
    key: str
    description: str


class Returned(msgspec.Struct):
    type: str
    description: str | None


class Raised(msgspec.Struct):
    type: str
    description: str


class ActionSpec(msgspec.Struct):
    id: str
    name: str
    description: str
    module: str
    function: str
    file: str
    line: int
    timeout: int
    retries: int
    parameters: list[Parameter]
    accepts_unknown: bool
    input_schema: bytes | None = None
    output_schema: bytes | None = None
    documentation: str | None = None
    stores: list[Stored] = []
    raises: list[Raised] = []
    returns: Returned | None = None
    memory: int = 10 * 1024 * 1024 * 1024
    isolation: str = "shared"
    on_lost: str = "rerun"


class ModuleProblem(msgspec.Struct):
    module: str
    file: str
    message: str
    traceback: str
    action: str | None = None


class Entry(msgspec.Struct):
    """A memory entry; `value` and `metadata` are JSON, `created_at` is milliseconds UTC."""

    entry_id: str
    key: str
    value: bytes
    metadata: bytes | None
    created_at: int
    run_id: str | None
    attempt: int | None


class Search(msgspec.Struct):
    query: str | None
    filter: bytes | None
    limit: int


# To the zygote.


class Load(Message):
    root: str
    paths: list[str]
    modules: list[str]
    describe: bool = False
    start: str = "fork"


class MakeInput(Message):
    action_id: str
    given: bytes = b"{}"


class Fork(Message):
    token: str
    scratch: str | None = None


class Reap(Message):
    pid: int


class Kill(Message):
    pid: int


ToZygote = Load | MakeInput | Fork | Reap | Kill


# From the zygote.


class ZygoteHello(Message, tag="hello"):
    protocol: int
    sdk: str
    python: str
    folder: str
    oldest: int | None = None


class Action(Message):
    spec: ActionSpec


class Problem(Message):
    problem: ModuleProblem


class Loaded(Message):
    pass


class InputMade(Message):
    input: bytes
    made: list[str]
    error: str | None


class Forked(Message):
    token: str
    pid: int


class ForkFailed(Message):
    token: str
    error: str


class Exited(Message):
    pid: int
    status: int


FromZygote = ZygoteHello | Action | Problem | Loaded | InputMade | Forked | ForkFailed | Exited


# To an executor.


class Start(Message):
    run_id: str
    attempt: int
    action_id: str
    input: bytes
    memory_id: str
    first_call: int
    environment: list[tuple[str, str]]
    secrets: list[tuple[str, str]]
    mocked: bool
    locals: bool = False
    memory_limit: int | None = None


class MemoryAdded(Message):
    request: int
    entry_id: str


class MemoryValue(Message):
    request: int
    value: bytes | None


class MemoryEntries(Message):
    request: int
    entries: list[Entry]
    more: bool


class MemoryRemoved(Message):
    request: int
    count: int


class CallEnded(Message):
    request: int
    run_id: str
    output: bytes | None
    failure: Failure | None


class Refused(Message):
    request: int
    code: str
    message: str


class Done(Message):
    request: int


Answer = MemoryAdded | MemoryValue | MemoryEntries | MemoryRemoved | CallEnded | Refused | Done
ToExecutor = Start | Answer


# From an executor.


class Hello(Message):
    protocol: int
    token: str
    stack_signal: int


class MemoryAdd(Message):
    request: int
    key: str
    value: bytes
    metadata: bytes | None


class MemoryGet(Message):
    request: int
    key: str


class MemorySearch(Message):
    request: int
    search: Search


class MemoryRemove(Message):
    request: int
    entry_id: str | None
    key: str | None


class Call(Message):
    request: int
    action_id: str
    input: bytes


class IntegrationCalled(Message):
    request: int
    call: str


class Output(Message):
    level: str
    text: str


class Finished(Message):
    output: bytes | None
    failure: Failure | None
    cpu_ms: int
    peak_memory_bytes: int
    left: list[str] = []
    spent: bool = False


class Drain(Message):
    request: int


class Abandon(Message):
    request: int


FromExecutor = (
    Hello
    | MemoryAdd
    | MemoryGet
    | MemorySearch
    | MemoryRemove
    | Call
    | IntegrationCalled
    | Output
    | Finished
    | Drain
    | Abandon
)


_LENGTH = struct.Struct(">I")
_encoder = msgspec.msgpack.Encoder()


def encode(message: Message) -> bytes:
    """The message as a frame: its length in four bytes, the most significant first, and its MessagePack."""
    body = _encoder.encode(message)
    if len(body) > FRAME_BYTES:
        raise ValueError(f"a message of {len(body)} bytes, limit {FRAME_BYTES}")
    return _LENGTH.pack(len(body)) + body


_ROOM = 65536
"""How much is received at a time."""


@functools.cache
def decoder(messages: Any) -> msgspec.msgpack.Decoder[Any]:
    """That of a union of messages. The zygote makes those of its executors, since making one takes a megabyte."""
    return msgspec.msgpack.Decoder(messages)


class Reader:
    """Reads messages from a blocking socket; a message cut by an exception is read on at the next call."""

    def __init__(self, connection: socket.socket, messages: Any) -> None:
        self._receive = connection.recv_into
        self._decode = decoder(messages).decode
        self._room = memoryview(bytearray(_ROOM))
        # In one, so that an exception of a signal handler finds or leaves them together.
        self._held = self._room, 0, 0
        """A buffer, and from where to where it holds bytes that no message has taken yet."""

    def read(self) -> Any:
        """The next message; `EOFError` when the peer is gone."""
        buffer, start, end = self._held
        body = start + 4
        while end < body or end < (until := body + _LENGTH.unpack_from(buffer, start)[0]):
            buffer, start, end = self._filled()
            body = start + 4
        message = self._decode(buffer[body:until])
        # A buffer that was made for a long message goes with it.
        self._held = (buffer, until, end) if until < end else (self._room, 0, 0)
        return message

    def _filled(self) -> tuple[memoryview, int, int]:
        """What is held once more of a message has been received."""
        buffer, start, end = self._held
        size = 4 if end - start < 4 else 4 + _LENGTH.unpack_from(buffer, start)[0]
        if size > 4 + FRAME_BYTES:
            raise ValueError(f"a frame of {size - 4} bytes, limit {FRAME_BYTES}")
        if start + size > len(buffer):
            longer = memoryview(bytearray(max(size, _ROOM)))
            longer[: end - start] = buffer[start:end]
            buffer, start, end = longer, 0, end - start
        count = self._receive(buffer[end:] if end else buffer)
        if not count:
            raise EOFError
        self._held = held = buffer, start, end + count
        return held

    def buffered(self) -> bool:
        """Whether bytes have been read that no message has taken yet."""
        return self._held[1] < self._held[2]
