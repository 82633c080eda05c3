"""What is asked again, and what is not: both clients against a server that loses, delays and garbles its answers."""

import asyncio
import contextlib
import threading
import time
from types import SimpleNamespace

import msgspec
import pytest
from answers import Answers, answer
from both_clients import Maker

import ziet
from ziet._client import steps

RUN = {
    "id": "run-1",
    "action_id": "shop.add",
    "project_id": "shop",
    "deployment_id": None,
    "status": "completed",
    "waiting_on": None,
    "input": {"x": 1},
    "output": 2,
    "error": None,
    "memory_id": "memory-1",
    "parent_id": None,
    "root_id": "run-1",
    "attempts": [],
    "metadata": None,
    "run_at": None,
    "retry_of": None,
    "cancelled": None,
    "created_at": "2026-01-02T03:04:05.678Z",
    "started_at": None,
    "finished_at": "2026-01-02T03:04:06.678Z",
    "new_field": "of a later version",
}
DONE = answer(200, msgspec.json.encode(RUN))
WAITING = answer(202, msgspec.json.encode(RUN | {"status": "queued", "output": None, "finished_at": None}))
ENTRY = answer(
    201,
    b'{"entry_id":"e","key":"k","value":1,"metadata":null,"created_at":"2026-01-02T03:04:05.678Z","run_id":null,"attempt":null}',
)


def problem(status, code, headers=b""):
    return answer(status, b'{"detail":"told","code":"%b","request_id":"r"}' % code.encode(), headers)


LATER = problem(503, "draining", b"Retry-After: 0\r\n")


@pytest.fixture(params=["Client", "AsyncClient"])
def ask(request):
    """Makes a server that says so, and a client of it."""
    maker = Maker(request.param)
    servers = []

    def ask(*said, **options):
        servers.append(Answers(*said))
        return servers[-1], maker(SimpleNamespace(url=servers[-1].url, key="k"), **options)

    yield ask
    maker.close()
    for server in servers:
        server.close()


def keys(server):
    return [msgspec.json.decode(request.rpartition(b"\r\n")[2])["idempotency_key"] for request in server.requests]


@pytest.mark.parametrize(
    "lost", [None, b"HTTP/1.1 200 OK\r\nContent-Le", LATER, problem(429, "too_many_requests", b"Retry-After: 0\r\n")]
)
def test_a_submit_without_an_answer_is_sent_again_with_its_key(ask, lost):
    said = (lost, lost, DONE) if lost is None or b"Retry" in lost else (hang_up(lost), DONE)
    server, client = ask(*said)

    assert client.run("shop.add", x=1) == 2

    assert len(set(keys(server))) == 1
    assert len(server.requests) == len(said)


def hang_up(said):
    def say(connection, _):
        # Who has read enough may have gone first.
        with contextlib.suppress(OSError):
            connection.sendall(said)

    return say


def until(held):
    """Says nothing until then."""

    def say(*_):
        held.wait(30)

    return say


def test_each_submit_has_a_key_of_its_own(ask):
    server, client = ask(DONE, DONE, DONE)
    client.submit("shop.add", x=1)
    client.submit("shop.add", x=1)
    client.options(idempotency_key="mine").submit("shop.add", x=1)
    first, second, third = keys(server)
    assert first != second
    assert third == "mine"


@pytest.mark.parametrize(
    "call", [lambda client: client.retry("run-1"), lambda client: client.memory("run-1").add("k", 1)]
)
def test_what_would_be_done_twice_is_not_sent_again(ask, call):
    server, client = ask(None)
    with pytest.raises(ziet.ConnectionFailed, match="was carried out is not known"):
        call(client)
    assert len(server.requests) == 1


def test_what_would_be_done_twice_is_sent_again_where_nothing_was_done(ask):
    server, client = ask(LATER, ENTRY)
    assert client.memory("run-1").add("k", 1) == "e"
    assert len(server.requests) == 2
    server, client = ask(problem(502, "bad_gateway"))
    with pytest.raises(ziet.Unavailable) as passed_on:
        client.memory("run-1").add("k", 1)
    assert (passed_on.value.status, len(server.requests)) == (502, 1)


def test_connections_are_used_again(ask):
    server, client = ask(DONE, DONE, problem(404, "run_not_found"), DONE)
    client.get("run-1")
    client.get("run-1")
    with pytest.raises(ziet.NotFound):
        client.get("run-1")
    client.get("run-1")
    assert server.connections == 1


def test_a_connection_that_the_server_has_closed_is_no_failure(ask):
    server, client = ask(hang_up(DONE), DONE, timeout=0.1)
    client.get("run-1")
    client.get("run-1")
    assert server.connections == 2


def test_what_must_not_be_done_twice_gets_a_connection_of_its_own(ask):
    server, client = ask(DONE, ENTRY)
    client.get("run-1")
    client.memory("run-1").add("k", 1)
    assert server.connections == 2


def test_a_run_is_waited_for_until_it_has_finished(ask):
    server, client = ask(WAITING, WAITING, WAITING, DONE)
    assert client.run("shop.add", x=1) == 2
    first, *others = [request.split(b"\r\n")[0] for request in server.requests]
    assert first == b"POST /v1/runs?wait=50 HTTP/1.1"
    assert others == [b"GET /v1/runs/run-1?wait=50 HTTP/1.1"] * 3


def test_waiting_ends_when_its_time_is_over(ask):
    server, client = ask(*[WAITING] * 50)
    begun = time.monotonic()
    with pytest.raises(ziet.WaitTimeout) as early:
        client.wait("run-1", timeout=0.3)
    assert 0.3 <= time.monotonic() - begun < 5
    assert early.value.run_id == "run-1"
    # Not as fast as it can.
    assert len(server.requests) < 10


def test_a_server_that_does_not_answer_is_told(ask):
    held = threading.Event()
    server, client = ask(*[until(held)] * 5, timeout=0.4)
    begun = time.monotonic()
    with pytest.raises(ziet.ConnectionFailed, match="gave no answer: it does not answer"):
        client.get("run-1")
    assert time.monotonic() - begun < 5
    assert len(server.requests) >= 2
    held.set()


@pytest.mark.parametrize("said", [b"SSH-2.0\r\n\r\n", b"\xff" * 70_000])
def test_what_is_no_http_is_told(ask, said):
    _, client = ask(*[hang_up(said)] * 50, timeout=0.3)
    with pytest.raises(ziet.ConnectionFailed):
        client.get("run-1")


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "project_required", ziet.ClientError),
        (401, "key_invalid", ziet.Unauthorized),
        (403, "scope_missing", ziet.Forbidden),
        (404, "run_not_found", ziet.NotFound),
        (409, "run_finished", ziet.ClientError),
        (422, "invalid_request", ziet.InvalidInput),
        (429, "too_many_runs", ziet.TooManyRuns),
        (429, "too_many_requests", ziet.Unavailable),
        (500, "internal", ziet.Unavailable),
        (507, "storage_full", ziet.Unavailable),
    ],
)
def test_each_refusal_is_an_error_to_decide_on(ask, status, code, kind):
    server, client = ask(problem(status, code))
    with pytest.raises(kind) as raised:
        client.get("run-1")
    error = raised.value
    assert (type(error), error.code, error.status, error.detail, error.request_id) == (kind, code, status, "told", "r")
    assert len(server.requests) == 1


def test_what_a_proxy_says_is_passed_on(ask):
    _, client = ask(b"HTTP/1.1 413 Too Large\r\nContent-Type: text/html\r\nContent-Length: 15\r\n\r\n<h1>\n no!</h1>\n")
    with pytest.raises(
        ziet.ClientError, match="or a proxy before it, answered with status 413: <h1> no!</h1>"
    ) as raised:
        client.get("run-1")
    assert raised.value.code == "http_413"


def event(name, data, id=b""):
    return b"event: %b\nid: %b\ndata: %b\n\n" % (name, id, data)


def line(number):
    text = b'{"seq":%d,"at":"2026-01-02T03:04:05.678Z","attempt":1,"level":"info","text":"t"}' % number
    return event(b"log", text, b"%d" % number)


LIVE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


def test_a_log_goes_on_after_the_last_line_that_was_seen(ask):
    server, client = ask(
        hang_up(LIVE + chunk(line(1) + line(2)) + chunk(line(3)[:20])),
        None,
        LATER,
        hang_up(LIVE + chunk(b": still here\n\n") + chunk(line(3)) + chunk(event(b"end", b"{}"))),
    )
    assert [told.seq for told in client.logs("run-1", level="warn")] == [1, 2, 3]
    first, *others = server.requests
    assert first.startswith(b"GET /v1/runs/run-1/logs?level=warn HTTP/1.1\r\n")
    assert b"Last-Event-ID" not in first
    assert all(b"Last-Event-ID: 2\r\n" in request for request in others)


def test_a_log_that_falls_silent_is_asked_for_again(ask, monkeypatch):
    monkeypatch.setattr(steps, "_SILENCE_SECONDS", 2)
    held = threading.Event()

    def tell(connection, _):
        connection.sendall(LIVE + chunk(line(1)))
        held.wait(30)

    _, client = ask(tell, hang_up(LIVE + chunk(line(2)) + chunk(event(b"end", b"{}"))), timeout=2)
    assert [told.seq for told in client.logs("run-1")] == [1, 2]
    held.set()


def test_who_stops_reading_a_log_hangs_up(ask):
    gone = threading.Event()

    def tell(connection, _):
        connection.sendall(LIVE + chunk(line(1)))
        connection.recv(1)
        gone.set()

    _, client = ask(tell)
    lines = client.logs("run-1")
    assert next(lines).seq == 1
    lines.close()
    assert gone.wait(10)


def test_of_many_runs_the_wrong_one_is_told_by_its_number(ask):
    ids = b",".join(b'{"id":"run-%d","existing":false}' % number for number in range(1000))
    wrong = (
        b'{"detail":"it does not fit","code":"invalid_input","errors":[{"pointer":"/runs/7/input/x","message":"no"}]}'
    )

    def say(connection, request):
        connection.sendall(answer(422, wrong) if b"/1007" in request else answer(202, b'{"data":[%b]}' % ids))

    _, client = ask(say, say)
    with pytest.raises(ziet.InvalidInput, match="it does not fit: /runs/1007/input/x: no") as raised:
        client.submit_many("shop.add", ({"x": number} for number in range(1010)))
    assert [fault.pointer for fault in raised.value.errors] == ["/runs/1007/input/x"]


def test_large_inputs_go_in_smaller_requests(ask):
    server, client = ask(*[answer(202, b'{"data":[{"id":"a"},{"id":"b"}]}')] * 3)
    assert len(client.submit_many("shop.add", ({"x": "x" * 2_000_000} for _ in range(6)))) == 6
    assert len(server.requests) == 3


def test_a_proxy_is_asked_for_the_whole_url(ask, monkeypatch):
    server = Answers(DONE)
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.delenv("no_proxy", raising=False)
    _, client = ask(url="http://shop.example/ziet")
    assert client.wait("run-1") == 2
    assert server.requests[0].startswith(
        b"GET http://shop.example/ziet/v1/runs/run-1?wait=50 HTTP/1.1\r\nHost: shop.example\r\n"
    )
    server.close()
    monkeypatch.delenv("http_proxy")


def test_a_call_that_is_given_up_leaves_the_client_sound():
    held = threading.Event()
    server = Answers(until(held), DONE)

    async def given_up():
        async with ziet.AsyncClient(server.url, "k") as client:
            call = asyncio.create_task(client.get("run-1"))
            while not server.requests:
                await asyncio.sleep(0.01)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            return (await client.get("run-1")).output

    assert asyncio.run(given_up()) == 2
    assert server.connections == 2
    held.set()
    server.close()


def test_an_async_client_belongs_to_one_loop_at_a_time():
    server = Answers(DONE, DONE)
    client = ziet.AsyncClient(server.url, "k")

    async def once():
        async with client:
            return (await client.get("run-1")).output

    assert asyncio.run(once()) == 2
    # That loop is closed.
    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(client.get("run-1")).output == 2

    async def elsewhere():
        await client.get("run-1")

    with pytest.raises(RuntimeError, match="belongs to another event loop"):
        asyncio.run(elsewhere())
    loop.run_until_complete(client.close())
    loop.close()
    server.close()


def test_errors_can_be_pickled():
    import pickle

    from ziet._client.documents import run_of

    failed = RUN | {"status": "failed", "error": {"type": "ValueError", "message": "no", "code": "exception"}}
    run = run_of(msgspec.json.encode(failed), None)
    error = run.error
    assert error is not None
    for raised in (ziet.RunFailed(run, error), ziet.RunCancelled(run), ziet.WaitTimeout("run-1", "shop.add", 2.5)):
        again = pickle.loads(pickle.dumps(raised))
        assert (type(again), str(again), vars(again).keys()) == (type(raised), str(raised), vars(raised).keys())
