"""The messages are those of the Rust program, byte by byte."""

from __future__ import annotations

import socket
import threading
import typing
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziet import _wire

VECTORS = Path(__file__).parents[2] / "crates/ziet-core/tests/vectors"
GROUPS = {
    "to_zygote": _wire.ToZygote,
    "from_zygote": _wire.FromZygote,
    "to_executor": _wire.ToExecutor,
    "from_executor": _wire.FromExecutor,
}
FILES = sorted(VECTORS.glob("*/*.msgpack"))
BEFORE = sorted(VECTORS.glob(f"protocol-{_wire.OLDEST_PROTOCOL}/*/*.msgpack"))
"""What was recorded of the version before."""


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_message_of_rust_is_read_and_written_alike(file: Path) -> None:
    data = file.read_bytes()
    message = msgspec.msgpack.decode(data, type=GROUPS[file.parent.name])
    assert _wire.encode(message) == len(data).to_bytes(4, "big") + data


def holds(now: object, said: object) -> bool:
    """Whether everything that was said is there, whatever was added since."""
    if isinstance(now, dict) and isinstance(said, dict):
        return all(name in now and holds(now[name], value) for name, value in said.items())
    if isinstance(now, list) and isinstance(said, list):
        return len(now) == len(said) and all(map(holds, now, said))
    return now == said


@pytest.mark.parametrize("group", GROUPS)
def test_the_version_before_is_read(group: str) -> None:
    files = [file for file in BEFORE if file.parent.name == group]
    assert files
    for file in files:
        data = file.read_bytes()
        message = msgspec.msgpack.decode(data, type=GROUPS[group])
        again = msgspec.msgpack.decode(_wire.encode(message)[4:])
        assert holds(again, msgspec.msgpack.decode(data)), file


@pytest.mark.parametrize("group", GROUPS)
def test_there_is_a_vector_of_every_message(group: str) -> None:
    decoded = {
        type(msgspec.msgpack.decode(file.read_bytes(), type=GROUPS[group]))
        for file in FILES
        if file.parent.name == group
    }
    assert decoded == set(typing.get_args(GROUPS[group]))


def test_messages_survive_any_cutting() -> None:
    here, there = socket.socketpair()
    messages = [_wire.Reap(pid) for pid in range(5)]
    stream = b"".join(_wire.encode(message) for message in messages)
    reader = _wire.Reader(there, _wire.ToZygote)
    for start in range(0, len(stream), 7):
        here.sendall(stream[start : start + 7])
    here.close()
    assert [reader.read() for _ in messages] == messages
    with pytest.raises(EOFError):
        reader.read()
    there.close()


@pytest.mark.parametrize("piece", [50_000, 65_536, 65_540, 1_000_000])
def test_long_messages_survive_any_cutting(piece: int) -> None:
    here, there = socket.socketpair()
    lengths = [10, 70_000, 5, 65_536 - 40, 65_536, 300_000, 3, 1_000_000, 30_000, 30_000, 30_000, 1]
    messages = [_wire.Output("info", chr(97 + index) * length) for index, length in enumerate(lengths)]
    stream = b"".join(map(_wire.encode, messages))

    def send() -> None:
        for start in range(0, len(stream), piece):
            here.sendall(stream[start : start + piece])

    sender = threading.Thread(target=send)
    with here, there:
        sender.start()
        reader = _wire.Reader(there, _wire.FromExecutor)
        assert [reader.read() for _ in messages] == messages
        assert not reader.buffered()
        sender.join()


def test_a_frame_over_the_limit_is_neither_read_nor_written() -> None:
    here, there = socket.socketpair()
    with here, there:
        here.sendall((_wire.FRAME_BYTES + 1).to_bytes(4, "big"))
        with pytest.raises(ValueError, match="limit 8388608"):
            _wire.Reader(there, _wire.ToZygote).read()
    with pytest.raises(ValueError, match="limit 8388608"):
        _wire.encode(_wire.Output("info", "x" * _wire.FRAME_BYTES))


@given(
    st.sampled_from(sorted(GROUPS)),
    st.binary(max_size=200) | st.sampled_from(FILES).flatmap(lambda file: damaged(file.read_bytes())),
)
def test_bytes_that_are_no_message_are_an_error_and_nothing_else(group: str, body: bytes) -> None:
    """What a reader may raise is what its caller expects: no other error, no crash of the interpreter, no waiting."""
    here, there = socket.socketpair()
    with here, there:
        there.settimeout(5)
        here.sendall(len(body).to_bytes(4, "big") + body)
        here.shutdown(socket.SHUT_WR)
        reader = _wire.Reader(there, GROUPS[group])
        try:
            message = reader.read()
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        assert isinstance(message, typing.get_args(GROUPS[group]))
        with pytest.raises(EOFError):
            reader.read()


def damaged(data: bytes) -> st.SearchStrategy[bytes]:
    """The same with some bytes in the place of others."""
    piece = st.tuples(st.integers(0, len(data)), st.integers(0, 8), st.binary(max_size=8))
    return piece.map(lambda p: data[: p[0]] + p[2] + data[p[0] + p[1] :])
