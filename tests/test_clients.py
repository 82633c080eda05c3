"""`ziet.Client` and `ziet.AsyncClient` against a real server, each test with both."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest
from both_clients import Maker

import ziet
from clients import Gate, meanwhile, restarted, serve
from program import PROJECTS, REPOSITORY, Ziet
from server import Server

sys.path.append(str(PROJECTS / "clients"))
import orders  # pyright: ignore[reportMissingImports]

ORDER = orders.Order("apple", 2, date(2026, 1, 2))


@pytest.fixture(scope="module")
def server(lasting: Ziet) -> Iterator[Server]:
    with serve(lasting) as server:
        yield server


@pytest.fixture(params=["Client", "AsyncClient"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def made(kind: str) -> Iterator[Maker]:
    maker = Maker(kind)
    yield maker
    maker.close()


@pytest.fixture
def client(made: Maker, server: Server) -> Any:
    return made(server)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.close()


def count(server: Server, action: str) -> int:
    """How many runs of it there are."""
    with ziet.Client(server.url, server.key) as client:
        return sum(1 for _ in client.runs(action=action))


def test_a_run_gives_what_the_action_returns(client: Any) -> None:
    assert client.run(orders.add, 1, y=2) == 3
    assert client.run("orders.add", x=1) == 1
    assert client.run(orders.charge, ORDER) == orders.Receipt(ORDER, 6)
    assert client.run("orders.charge", order=ORDER)["total"] == 6
    assert client.run(orders.fetch, "a") == ["a"]


def test_a_run_that_fails_raises_its_error(client: Any) -> None:
    with pytest.raises(ziet.RunFailed) as raised:
        client.run(orders.ship, item="apple")

    error = raised.value
    assert (error.code, error.status) == ("exception", None)
    assert (error.error.type, error.error.message) == ("orders.OutOfStockError", "no apple left")
    assert str(error) == f"orders.ship failed: orders.OutOfStockError: no apple left (run {error.run.id})"
    assert 'raise OutOfStockError(f"no {item} left")' in error.traceback
    assert error.traceback in str(error.__cause__)
    assert error.error.frames[-1]["function"] == "ship"


def test_what_is_refused_raises_an_error_to_decide_on(made: Maker, server: Server, client: Any) -> None:
    with pytest.raises(ziet.InvalidInput) as wrong:
        client.run("orders.add", x="one", z=1)
    assert (wrong.value.code, wrong.value.status) == ("invalid_input", 422)
    assert {fault.pointer for fault in wrong.value.errors} == {"/input/x", "/input/z"}
    assert "/input/z: orders.add has no such parameter" in str(wrong.value)
    assert wrong.value.request_id

    with pytest.raises(ziet.NotFound, match=r'no action "orders.ad", did you mean `orders.add`') as missing:
        client.submit("orders.ad")
    assert missing.value.code == "action_not_found"
    with pytest.raises(ziet.NotFound) as no_run:
        client.wait("01a20995-b522-776f-afb9-8e5539977626")
    assert no_run.value.code == "run_not_found"

    with pytest.raises(ziet.Unauthorized) as unknown:
        made(server, key="sk_unknown").run(orders.add, 1)
    assert unknown.value.code == "key_invalid"
    key = server.request("POST", "/v1/keys", {"name": "reads", "scopes": ["read"]}).document["key"]
    with pytest.raises(ziet.Forbidden) as forbidden:
        made(server, key=key).run(orders.add, 1)
    assert forbidden.value.code == "scope_missing"


def test_arguments_that_do_not_fit_are_told_before_anything_is_sent(client: Any) -> None:
    with pytest.raises(TypeError, match="missing 1 required argument: 'x'"):
        client.run(orders.add)
    with pytest.raises(TypeError, match=r"orders.add', name=value"):
        client.run("orders.add", 1)
    with pytest.raises(TypeError, match=r"input.x is an object"):
        client.run("orders.add", x=object())
    with pytest.raises(TypeError, match=r"the action must be its id or the function with @Action"):
        client.run(len, [])
    with pytest.raises(ValueError, match="start=False does not finish"):
        client.options(start=False).run(orders.add, 1)


def test_a_submitted_run_is_followed_to_its_end(client: Any, gate: Gate) -> None:
    run = client.submit(orders.hold, gate.port, number=7)
    assert not run.finished
    gate.until()
    assert not client.get(run).finished
    with pytest.raises(ziet.WaitTimeout, match=f"orders.hold has not finished within 0.2 s; its run {run.id}") as early:
        client.wait(run, timeout=0.2)
    assert isinstance(early.value, TimeoutError)
    assert early.value.run_id == run.id
    with pytest.raises(ziet.WaitTimeout) as too_early:
        client.options(timeout=1).run(orders.hold, gate.port)
    gate.open()
    assert client.wait(run) == 7
    assert client.wait(run.id, orders.hold) == 7
    assert client.get(run.id, orders.hold).output == 7
    assert client.wait(too_early.value.run_id) == 0


def test_a_result_is_rebuilt_wherever_it_is_read(client: Any) -> None:
    receipt = orders.Receipt(ORDER, 6)
    run = client.submit(orders.charge, ORDER)

    assert client.wait(run) == receipt
    assert client.get(run).output == client.get(run.id, orders.charge).output == receipt
    assert client.wait(run.id, orders.charge) == receipt
    assert client.get(run.id).output["order"] == {"item": "apple", "amount": 2, "due": "2026-01-02"}
    again = client.retry(client.get(run))
    assert (client.wait(again), again.retry_of) == (receipt, run.id)


def test_a_run_is_cancelled(client: Any, gate: Gate) -> None:
    run = client.submit(orders.hold, gate.port)
    gate.until()

    cancelled = client.cancel(run, "not needed")

    assert (cancelled.status, cancelled.cancelled.reason) == ("cancelled", "not needed")
    with pytest.raises(ziet.RunCancelled, match=r"orders.hold was cancelled by key first: not needed"):
        client.wait(run)
    done = client.submit(orders.add, 1)
    client.wait(done)
    with pytest.raises(ziet.ClientError) as late:
        client.cancel(done)
    assert (late.value.code, late.value.status) == ("run_finished", 409)


def test_options_go_with_the_runs_that_are_submitted(client: Any) -> None:
    first = client.options(idempotency_key="order-1", metadata={"order": 1}).submit(orders.charge, ORDER)
    assert client.options(idempotency_key="order-1").submit(orders.charge, ORDER).id == first.id
    with pytest.raises(ziet.ClientError) as other:
        client.options(idempotency_key="order-1").submit(orders.add, 1)
    assert other.value.code == "idempotency_mismatch"
    assert client.get(first).metadata == {"order": 1}
    client.wait(first)
    shared = client.options(memory=first.memory_id).submit(orders.add, 1)
    assert client.memory(shared).get("receipt") == "apple"

    tomorrow = (datetime.now(timezone.utc) + timedelta(days=1)).replace(microsecond=0)
    assert client.options(at=tomorrow).submit(orders.add, 1).run_at == tomorrow
    assert client.options(delay=timedelta(hours=1)).submit(orders.add, 1).status == "scheduled"
    assert client.options(delay=0.1).run(orders.add, 5) == 5

    created = client.options(start=False).submit(orders.add, 4)
    assert created.status == "created"
    client.start(created)
    assert client.wait(created) == 4
    assert client.start(created).status == "completed"


def test_many_runs_are_submitted_from_any_iterable(client: Any, server: Server) -> None:
    taken: list[int] = []

    def inputs(wrong: int | None = None) -> Iterator[dict[str, Any]]:
        for number in range(2500):
            taken.append(number)
            yield {"x": "text" if number == wrong else number}

    before = count(server, "orders.add")
    ids = client.options(idempotency_key=f"all-{before}").submit_many(orders.add, inputs())
    assert len(set(ids)) == len(ids) == len(taken) == 2500
    assert client.wait(ids[1234], orders.add) == 1234
    assert client.options(idempotency_key=f"all-{before}").submit_many(orders.add, inputs()) == ids
    assert count(server, "orders.add") == before + 2500
    assert client.submit_many(orders.add, []) == []
    with pytest.raises(ziet.InvalidInput, match="/runs/2100/input/x"):
        client.submit_many("orders.add", inputs(wrong=2100))
    with pytest.raises(TypeError, match=r"input 1: .*unexpected keyword argument 'z'"):
        client.submit_many(orders.add, [{"x": 1}, {"z": 1}])
    with pytest.raises(TypeError, match=r"input 0: must be a mapping of the parameters' names, got 5"):
        client.submit_many(orders.add, [5])


def test_inputs_are_taken_while_they_are_sent(client: Any, server: Server) -> None:
    """So that any number of them can be submitted with little memory."""
    seen: list[int] = []

    def inputs() -> Iterator[dict[str, Any]]:
        for number in range(8000):
            if number == 7999:
                seen.append(count(server, "orders.hold"))
            yield {"gate": 1, "number": number}

    before = count(server, "orders.hold")
    ids = client.options(start=False).submit_many(orders.hold, inputs())
    assert len(ids) == 8000
    assert seen[0] - before >= 3000


def test_lists_are_read_over_all_their_pages(client: Any) -> None:
    parent = client.submit(orders.charge, ORDER)
    client.wait(parent)
    since = parent.created_at
    ids = client.submit_many(orders.add, [{"x": number} for number in range(250)])

    listed = [run.id for run in client.runs(action=orders.add, created_after=since) if run.id in set(ids)]

    assert sorted(listed) == sorted(ids)
    assert parent.id in [run.id for run in client.runs(status=["completed", "failed"], action="orders.charge")]
    assert [run.id for run in client.runs(text=parent.id)] == [parent.id]
    assert list(client.runs(parent=parent)) == []


def test_the_log_is_told_line_by_line_as_it_comes(client: Any, gate: Gate) -> None:
    run = client.submit(orders.report, [None, gate.port])
    lines = client.logs(run)

    first = next(lines)
    assert (first.seq, first.text, first.level, first.attempt) == (1, "line 1", "info", 1)
    assert [line.text for line in client.logs(run, follow=False)] == ["line 1"]
    gate.open()
    assert [line.text for line in lines] == ["line 2"]
    assert [line.text for line in client.logs(run)] == ["line 1", "line 2"]
    assert [line.text for line in client.logs(run.id, search="2")] == ["line 2"]
    assert list(client.logs(run, level="warn")) == []
    many = client.submit(orders.report, [None] * 250)
    client.wait(many)
    assert [line.seq for line in client.logs(many, follow=False)] == list(range(1, 251))


def test_the_memory_of_a_run(client: Any) -> None:
    run = client.submit(orders.charge, ORDER)
    client.wait(run)
    memory = client.memory(run)

    assert memory.get("receipt") == "apple"
    assert memory.get("nothing") is None
    entry_id = memory.add("note", ORDER, metadata={"kind": "note"})
    (found,) = memory.search(filter={"kind": "note"})
    assert (found.entry_id, found.value["item"], found.run_id) == (entry_id, "apple", None)
    for number in range(120):
        memory.add("number", number)
    assert [entry.value for entry in memory.search("number", limit=110)] == list(range(119, 9, -1))
    assert memory.remove(entry_id=entry_id) == 1
    assert memory.remove(key="number") == 120
    with pytest.raises(ziet.MemoryValueError, match='memory key "x": the value is not JSON'):
        memory.add("x", object())


def test_a_busy_server_is_asked_again(ziet_fresh: Callable[..., Server], made: Maker, gate: Gate) -> None:
    server = ziet_fresh("--max-queued", "1")
    client = made(server)
    run = client.submit(orders.hold, gate.port)
    gate.until()
    with pytest.raises(ziet.TooManyRuns, match="limit 1") as full:
        made(server, timeout=2).run(orders.add, 1)
    assert (full.value.code, full.value.status) == ("too_many_runs", 429)

    opening = meanwhile(gate.open)
    assert client.run(orders.add, 2) == 2
    opening.join()
    assert client.wait(run) == 0


@pytest.fixture
def ziet_fresh(ziet: Ziet) -> Iterator[Callable[..., Server]]:
    """Starts a server of the test's own."""
    servers: list[Server] = []

    def start(*options: str, **environment: str) -> Server:
        servers.append(serve(ziet, *options, **environment))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.stop()
    ziet.remove_folders()


def test_a_run_is_waited_for_while_the_server_is_killed_and_restarted(
    ziet_fresh: Callable[..., Server], made: Maker, gate: Gate
) -> None:
    server = ziet_fresh()
    client = made(server)
    assert client.run(orders.add, 1) == 1

    def crash() -> None:
        gate.until(1)
        restarted(server)
        gate.until(2)
        restarted(server)
        gate.until(3)
        gate.open()

    crashing = meanwhile(crash)
    assert client.run(orders.hold, gate.port, number=5) == 5
    crashing.join()
    runs = list(client.runs(action=orders.hold))
    assert len(runs) == 1
    *lost, last = [attempt.outcome for attempt in client.get(runs[0].id).attempts]
    # Not always twice: of an attempt that has only just begun, a crash may forget the number.
    assert (set(lost) <= {"lost"}, last) == (True, "completed")
    # What was submitted before is waited for as well, also by a client that has never asked this server.
    assert made(server).wait(runs[0].id) == 5


def test_many_runs_are_submitted_once_while_the_server_is_killed_and_restarted(
    ziet_fresh: Callable[..., Server], made: Maker
) -> None:
    server = ziet_fresh()
    client = made(server)
    assert client.run(orders.add, 1) == 1
    crashes: list[Any] = []

    def inputs() -> Iterator[dict[str, int]]:
        for number in range(12_000):
            if number in (4_500, 9_500):
                # With requests on their way, whose answers are lost.
                crashes.append(meanwhile(lambda: restarted(server)))
            yield {"gate": 1, "number": number}

    ids = client.options(start=False).submit_many(orders.hold, inputs())

    for crash in crashes:
        crash.join()
    listed = Counter(run.id for run in client.runs(action=orders.hold))
    assert len(ids) == 12_000
    assert listed == Counter(ids)
    assert [client.get(ids[number]).input["number"] for number in (0, 4_999, 11_999)] == [0, 4_999, 11_999]


def test_the_log_goes_on_where_it_was_when_the_server_was_killed(
    ziet_fresh: Callable[..., Server], made: Maker
) -> None:
    server = ziet_fresh()
    first, second = Gate(), Gate()
    client = made(server)
    run = client.submit(orders.report, [None, first.port, second.port, None])
    lines = client.logs(run)
    told = [next(lines)]

    server.kill()
    starting = meanwhile(server.start)
    first.open()
    told += [next(lines) for _ in range(2)]
    starting.join()
    second.open()
    told += list(lines)

    first.close()
    second.close()
    assert [line.seq for line in told] == list(range(1, len(told) + 1))
    assert told == list(client.logs(run, follow=False))
    assert [(line.attempt, line.text) for line in told if line.attempt == 2][-1] == (2, "line 4")


def test_a_server_that_never_comes_back_is_told(ziet_fresh: Callable[..., Server], made: Maker) -> None:
    server = ziet_fresh()
    client = made(server, timeout=1)
    run = client.submit(orders.add, 1)
    assert client.wait(run) == 1
    server.stop()

    begun = time.monotonic()
    with pytest.raises(
        ziet.ConnectionFailed, match=f"{server.url} cannot be reached: the connection is refused"
    ) as failed:
        client.get(run)
    assert time.monotonic() - begun < 5
    assert isinstance(failed.value, ConnectionError)
    with pytest.raises(ziet.ConnectionFailed, match="see that `ziet serve` runs"):
        made(server, timeout=1).run(orders.add, 1)


def test_a_client_is_used_by_many_threads(server: Server) -> None:
    with ziet.Client(server.url, server.key) as client, ThreadPoolExecutor(16) as threads:
        assert list(threads.map(lambda number: client.run(orders.add, number), range(200))) == list(range(200))


def test_a_forked_child_opens_connections_of_its_own(server: Server) -> None:
    with ziet.Client(server.url, server.key) as client:
        assert client.run(orders.add, 1) == 1
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.write(writing, b"%d" % client.run(orders.add, 2))
                status = 0
            finally:
                os._exit(status)
        # At the same time, over the connection that both know.
        assert [client.run(orders.add, number) for number in range(20)] == list(range(20))
        assert os.waitpid(child, 0)[1] == 0
        assert os.read(reading, 10) == b"2"
        os.close(reading)
        os.close(writing)


CERTIFICATE = REPOSITORY / "crates/ziet-server/tests/api/certificates/first.pem"


class Tunnels:
    """A proxy that makes the connections that it is asked for, and notes them."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.asked: list[bytes] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._pass_on, args=(connection,)))
            self._threads[-1].start()

    def _pass_on(self, near: socket.socket) -> None:
        with near:
            asked = near.recv(4096)
            self.asked.append(asked.split(b"\r\n")[0])
            host, _, port = asked.split()[1].decode().rpartition(":")
            with socket.create_connection((host, int(port))) as far:
                near.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                ways = {near: far, far: near}
                while True:
                    for ready in select.select(list(ways), [], [])[0]:
                        if not (data := ready.recv(65536)):
                            return
                        ways[ready].sendall(data)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()


def test_connections_are_encrypted_and_go_through_proxies(
    ziet_fresh: Callable[..., Server], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ziet_fresh("--tls-cert", str(CERTIFICATE), "--tls-key", str(CERTIFICATE.with_suffix(".key")))
    url = server.url.replace("127.0.0.1", "localhost")
    tunnels = Tunnels()

    def ask(timeout: float = 60) -> Any:
        maker = Maker(kind)
        try:
            return maker(server, url=url, timeout=timeout).run(orders.add, 1, 2)
        finally:
            maker.close()

    begun = time.monotonic()
    with pytest.raises(ziet.ConnectionFailed, match="certificate verify failed"):
        ask()
    assert time.monotonic() - begun < 4, "trying again does not help"
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    assert ask() == 3
    monkeypatch.setenv("https_proxy", tunnels.url)
    assert ask() == 3
    assert set(tunnels.asked) == {f"CONNECT {url.removeprefix('https://')} HTTP/1.1".encode()}
    monkeypatch.setenv("no_proxy", "localhost")
    asked = len(tunnels.asked)
    assert ask() == 3
    assert len(tunnels.asked) == asked
    monkeypatch.delenv("no_proxy")
    tunnels.close()
    with pytest.raises(ziet.ConnectionFailed, match="the connection is refused"):
        ask(timeout=0.5)


def test_a_server_has_an_address_of_either_version(ziet: Ziet, made: Maker) -> None:
    with ziet.serve(ziet.project("clients"), "--listen", "[::1]:0", "--sandbox", "off") as server:
        assert server.url.startswith("http://[::1]:")
        assert made(server).run(orders.add, 1, 2) == 3


@pytest.mark.skipif(sys.version_info < (3, 11), reason="it cannot read TOML")
def test_a_client_finds_what_was_logged_in_to(lasting: Ziet, server: Server) -> None:
    login = lasting.project("clients")("login", server.url, "--name", "shop", stdin=server.key)
    assert login.status == 0, login
    asks = "import ziet, sys; print(ziet.Client(*sys.argv[1:]).run('orders.add', x=1, y=2))"
    known = {name: value for name, value in os.environ.items() if not name.startswith("ZIET_")}
    for arguments in ([], ["shop"], [server.url]):
        done = subprocess.run(
            [sys.executable, "-c", asks, *arguments],
            env=known | {"HOME": lasting.environment["HOME"], "PYTHONPATH": str(REPOSITORY / "python")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.stdout, done.returncode) == ("3\n", 0), done.stderr


def test_a_run_drives_a_server_that_it_is_given(client: Any, server: Server) -> None:
    assert client.run(orders.order_there, url=server.url, key=server.key) == 3
    with pytest.raises(ziet.RunFailed, match="inside a run no server is known but what is given"):
        client.run(orders.order_there, url=None, key=None)
