"""Clients that mean ill or are broken: they are refused cheaply, and the server serves the others."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import psutil
import pytest

from program import Ziet
from server import Server

GIGABYTE = 1 << 30
MEGABYTE = 1 << 20
PATIENCE_SECONDS = 60

ACTIONS = """
from ziet import Action

@Action(description="Gives back what it is given")
def echo(value: list | str | int) -> object:
    return value
"""


@pytest.fixture
def server(ziet: Ziet) -> Iterator[Server]:
    with ziet.serve(ziet.write({"actions.py": ACTIONS})) as server:
        yield server
        # Whatever was done to it.
        assert server.finished("actions.echo", value="well")["output"] == "well"


def connect(server: Server) -> socket.socket:
    address = urlsplit(server.url)
    connection = socket.create_connection((str(address.hostname), int(address.port or 0)))
    connection.settimeout(PATIENCE_SECONDS)
    return connection


def head(server: Server, *lines: str) -> bytes:
    """The beginning of a submit, with the admin key."""
    all_lines = [
        "POST /v1/runs HTTP/1.1",
        f"Host: {urlsplit(server.url).netloc}",
        f"Authorization: Api-Key {server.key}",
        "Content-Type: application/json",
        *lines,
    ]
    return "\r\n".join([*all_lines, "", ""]).encode()


def status(connection: socket.socket) -> int | None:
    """That of the answer; None when the connection was closed without one."""
    try:
        with connection.makefile("rb") as answer:
            line = answer.readline()
    except ConnectionError:
        return None
    return int(line.split()[1]) if line else None


def send(server: Server, body: bytes) -> int | None:
    with connect(server) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(head(server, f"Content-Length: {len(body)}") + body)
        return status(connection)


def resident(server: Server) -> int:
    return psutil.Process(server.process.pid).memory_info().rss


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00" * 1000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xff" * 500,
        b"\r\n" * 1000,
        b"GET " + b"/" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: x\r\n" % number for number in range(1000)) + b"\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: \xff\r\n\r\n",
        b"POST /v1/runs HTTP/1.1\r\nContent-Length: 10\r\nContent-Length: 20\r\n\r\n",
        b"POST /v1/runs HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/runs HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nnot a number\r\n",
    ],
    ids=[
        "zeros",
        "TLS",
        "empty lines",
        "a long path",
        "many headers",
        "another version",
        "not UTF-8",
        "two lengths",
        "a negative length",
        "no chunk",
    ],
)
def test_garbage_on_the_socket_is_refused(server: Server, garbage: bytes) -> None:
    with connect(server) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(garbage)
            connection.shutdown(socket.SHUT_WR)
        answered = status(connection)
    assert answered is None or 400 <= answered < 500


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nothing",
        b'{"action_id": "actions.echo", "input": {"value": "\xff\xfe"}}',
        b'{"action_id": "actions.echo", "input": {"value": "\\ud800"}}',
        b'{"action_id": "actions.echo", "input": {"value": ' + b"[" * 100_000,
        b'{"action_id": "actions.echo", "input": {"value": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
        b'{"action_id": "actions.echo", "input": {"value": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}}",
        b'{"action_id": "actions.echo", "input": {"value": ' + b"1" * 100_000 + b"e999999}}",
        b'{"action_id": "actions.echo", "input": {"value": 1}, "input": {"value": 2}}',
        b'{"action_id": "actions.echo", "input": {"value": 1}} {}',
        b"[1, 2, 3]",
        b"null",
    ],
    ids=[
        "empty",
        "no JSON",
        "not UTF-8",
        "half a surrogate",
        "deep and open",
        "deep lists",
        "deep objects",
        "a long number",
        "a field twice",
        "two documents",
        "a list",
        "null",
    ],
)
def test_a_body_that_is_none_is_refused(server: Server, body: bytes) -> None:
    before = resident(server)
    answered = send(server, body)
    assert answered is not None, "no answer"
    assert 400 <= answered < 500
    assert resident(server) - before < 64 * MEGABYTE


def test_an_announced_body_of_a_gigabyte_is_refused_before_it_is_sent(server: Server) -> None:
    before = resident(server)
    with connect(server) as connection:
        connection.sendall(head(server, f"Content-Length: {GIGABYTE}"))
        assert status(connection) == 413
    assert resident(server) - before < 16 * MEGABYTE


def test_a_streamed_body_of_a_gigabyte_is_refused_on_the_way(server: Server) -> None:
    before = resident(server)
    chunk = b"%x\r\n" % MEGABYTE + b"x" * MEGABYTE + b"\r\n"
    sent = 0
    with connect(server) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(head(server, "Transfer-Encoding: chunked"))
            for _ in range(GIGABYTE // MEGABYTE):
                connection.sendall(chunk)
                sent += MEGABYTE
        assert status(connection) in (413, None)
    assert sent < GIGABYTE / 2
    assert resident(server) - before < 64 * MEGABYTE


def test_a_stranger_can_send_no_body_at_all(server: Server) -> None:
    """Without a key: refused by the head, whatever follows."""
    with connect(server) as connection:
        request = head(server, f"Content-Length: {MEGABYTE}").replace(server.key.encode(), b"sk_wrong")
        connection.sendall(request)
        assert status(connection) == 401


def test_clients_that_are_slow_on_purpose_are_cut_off(server: Server) -> None:
    """A head that never ends, and a body that never ends: a byte a second, for as long as the server lets them."""
    slow = {"head": head(server)[:-2] + b"X-", "body": head(server, "Content-Length: 1000") + b"{"}
    connections = {name: connect(server) for name in slow}
    for name, connection in connections.items():
        connection.sendall(slow[name])
        connection.setblocking(False)
    begun = time.monotonic()
    while connections:
        assert time.monotonic() - begun < PATIENCE_SECONDS, f"still open: {list(connections)}"
        # Meanwhile others are served.
        assert server.request("GET", "/healthz").status == 200
        time.sleep(0.5)
        for name, connection in list(connections.items()):
            if is_closed(connection):
                connections.pop(name).close()


def is_closed(connection: socket.socket) -> bool:
    """Sends one byte more, and looks whether the other end has gone."""
    try:
        connection.send(b"x")
        while received := connection.recv(65536):
            assert b" 408 " in received.split(b"\r\n")[0] or b" 400 " in received.split(b"\r\n")[0], received
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    return True


def test_thousands_of_idle_connections_do_not_keep_others_away(server: Server) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Both ends count, and this process has files of its own.
    number = min(10_000, most // 2 if most != resource.RLIM_INFINITY else 10_000)
    before = resident(server)
    with raised_limit(number + 500), contextlib.ExitStack() as open_ones:
        for _ in range(number):
            open_ones.enter_context(connect(server))
        begun = time.monotonic()
        assert server.finished("actions.echo", value=1)["output"] == 1
        assert time.monotonic() - begun < 5
        assert (resident(server) - before) / number < 64 * 1024


@contextlib.contextmanager
def raised_limit(files: int) -> Iterator[None]:
    """This process may have so many files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, files), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_hosts_that_are_not_the_servers_are_refused(server: Server) -> None:
    """A web page that has its name point here reaches nothing."""
    answer = server.request("GET", "/v1/runs", Host="evil.example")
    assert answer.status in (400, 403, 421), answer
    assert json.loads(answer.text)["code"], answer
