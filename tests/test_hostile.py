"""Clients that mean ill or are broken: they are refused cheaply, and the server serves the others."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from program import Ziet
from server import Answer, Server

GIGABYTE = 1 << 30
MEGABYTE = 1 << 20
PATIENCE_SECONDS = 60

ACTIONS = """
from ziet import Action

@Action(description="Gives back what it is given")
def echo(value: list | str | int) -> object:
    return value

@Action(description="Adds up")
def total(numbers: list[int]) -> int:
    return sum(numbers)
"""


@pytest.fixture(scope="module")
def attacked(lasting: Ziet) -> Iterator[Server]:
    with lasting.serve(lasting.write({"actions.py": ACTIONS})) as server:
        yield server


@pytest.fixture
def server(attacked: Server) -> Iterator[Server]:
    yield attacked
    # Whatever was done to it.
    assert attacked.finished("actions.echo", value="well")["output"] == "well"


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
        # The server may have hung up before all of it was sent; which is not always a `ConnectionError`.
        with contextlib.suppress(OSError):
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


def test_millions_of_mistakes_are_not_described(server: Server) -> None:
    before = peak(server)
    numbers = '"",' * (2 * MEGABYTE - 100) + "1"
    answer = raw(server, "/v1/runs", run_of(numbers))
    assert answer.status == 422
    [fault] = answer.document["errors"]
    assert fault == {"pointer": "/input/numbers", "message": "it does not fit: `numbers` is `list[int]`"}
    # Room for the values themselves.
    assert peak(server) - before < 400 * MEGABYTE


def test_a_batch_of_mistakes_is_told_up_to_a_bound(server: Server) -> None:
    runs = ",".join([run_of('"",' * 4000 + "1")] * 1000)
    answer = raw(server, "/v1/runs/batch", f'{{"runs": [{runs}]}}')
    assert answer.status == 422
    faults = answer.document["errors"]
    assert [fault["pointer"] for fault in faults] == [f"/runs/{number}/input/numbers/0" for number in range(100)]


def test_names_as_long_as_a_body_are_not_sent_back(server: Server) -> None:
    name = "x" * 5 * MEGABYTE
    for body in (
        {"action_id": name},
        {"action_id": "actions.total", "input": {name: 1}},
        {"action_id": "actions.total", name: 1},
        {"action_id": "actions.total", "input": {"numbers": name}},
        {"action_id": "actions.total", "input": {"numbers": []}, "run_at": name},
        {"action_id": "actions.total", "input": {"numbers": []}, "delay_seconds": name},
    ):
        answer = server.request("POST", "/v1/runs", body)
        assert answer.status in (404, 422), answer.text[:1000]
        assert len(answer.text) < 10_000, answer.text[:1000]


def test_the_flood_of_one_client_does_not_keep_others_away(server: Server) -> None:
    made = server.request("POST", "/v1/keys", {"name": "other", "scopes": ["run", "read"]})
    other = f"Api-Key {made.document['key']}"
    ended = threading.Event()
    run = {"action_id": "actions.echo", "input": {"value": 1}, "start": False}
    flooded: list[Answer] = []

    def flood() -> None:
        while not ended.is_set():
            flooded.append(server.request("POST", "/v1/runs/batch", {"runs": [run] * 500}))

    clients = [threading.Thread(target=flood) for _ in range(20)]
    try:
        for client in clients:
            client.start()
        while len(flooded) < 20:
            begun = time.monotonic()
            submitted = server.request("POST", "/v1/runs", run, Authorization=other)
            assert submitted.status == 202, submitted
            read = server.request("GET", f"/v1/runs/{submitted.document['id']}", Authorization=other)
            assert read.status == 200, read
            assert time.monotonic() - begun < 5, "the other client waited as long as the flood"
    finally:
        ended.set()
        for client in clients:
            client.join()
    assert {answer.status for answer in flooded} <= {202, 429}
    assert all("retry-after" in answer.headers for answer in flooded if answer.status == 429)


def run_of(numbers: str) -> str:
    return f'{{"action_id": "actions.total", "input": {{"numbers": [{numbers}]}}}}'


def raw(server: Server, path: str, body: str) -> Answer:
    request = urllib.request.Request(
        server.url + path,
        data=body.encode(),
        headers={"Authorization": f"Api-Key {server.key}", "Content-Type": "application/json"},
    )
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(request, timeout=PATIENCE_SECONDS)
    with raised.value as refused:
        return Answer(refused.code, dict(refused.headers), refused.read().decode())


def peak(server: Server) -> int:
    """The most memory that it has had."""
    status = Path(f"/proc/{server.process.pid}/status").read_text("ascii")
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def test_a_stranger_can_send_no_body_at_all(server: Server) -> None:
    """Without a key: refused by the head, whatever follows."""
    with connect(server) as connection:
        request = head(server, f"Content-Length: {MEGABYTE}").replace(server.key.encode(), b"sk_wrong")
        connection.sendall(request)
        assert status(connection) == 401


def test_a_client_that_is_slow_on_purpose_is_cut_off(server: Server) -> None:
    """A head that never ends: a byte now and then, for as long as the server lets it."""
    connection = connect(server)
    connection.sendall(head(server)[:-2] + b"X-")
    connection.setblocking(False)
    begun = time.monotonic()
    while not is_closed(connection):
        assert time.monotonic() - begun < PATIENCE_SECONDS, "it is still open"
        # Meanwhile others are served.
        assert server.request("GET", "/healthz").status == 200
        time.sleep(0.5)
    connection.close()


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
