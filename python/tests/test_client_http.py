"""HTTP without sockets: whatever pieces an answer comes in, it is the same answer."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziet._client.http import Event, Events, Garbled, Incoming, Request

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwiki\r\n5;a=b\r\npedia\r\n0\r\nX: y\r\n\r\n"
ANSWERS = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A:  b \r\n\r\nhello", 200, b"hello", True),
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n{}", 202, b"{}", True),
    (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
    (b"HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n", 404, b"", True),
    (b"HTTP/1.1 503 Later\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nno", 503, b"no", False),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", False),
    (CHUNKED, 200, b"wikipedia", True),
]


def pieces(data, cuts):
    bounds = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[begin:end] for begin, end in itertools.pairwise(bounds)]


@given(st.sampled_from(ANSWERS), st.lists(st.integers(0, 1000)))
def test_an_answer_comes_in_any_pieces(answer, cuts):
    data, status, body, keeps = answer
    incoming = Incoming()

    came = b"".join(incoming.feed(piece) for piece in pieces(data, cuts))

    assert (incoming.status, came, incoming.complete, incoming.keeps) == (status, body, True, keeps)


def test_headers_are_known_by_their_names_in_lower_case():
    incoming = Incoming()
    incoming.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Request-Id: a:b \r\n\r\n")
    assert incoming.headers["x-request-id"] == "a:b"


@given(st.lists(st.integers(0, 1000)))
def test_an_answer_without_a_length_ends_with_the_connection(cuts):
    incoming = Incoming()
    came = b"".join(incoming.feed(piece) for piece in pieces(b"HTTP/1.1 200 OK\r\n\r\nall of it", cuts))
    assert not incoming.complete
    assert incoming.feed(b"") == b""
    assert (came, incoming.complete, incoming.keeps) == (b"all of it", True, False)


def test_what_nobody_asked_for_ends_the_connection():
    incoming = Incoming()
    assert incoming.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n") == b"ok"
    assert (incoming.complete, incoming.keeps) == (True, False)
    incoming = Incoming()
    incoming.feed(CHUNKED + b"more")
    assert (incoming.complete, incoming.keeps) == (True, False)


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 2000,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000,
    ],
)
def test_what_is_no_http_is_told(data):
    with pytest.raises(Garbled):
        Incoming().feed(data)


@pytest.mark.parametrize("data", [b"HTTP/1.1 200 O", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", CHUNKED[:-3]])
def test_an_answer_that_ends_too_early_is_none(data):
    incoming = Incoming()
    incoming.feed(data)
    with pytest.raises(Garbled, match="closed before the end"):
        incoming.feed(b"")


@given(st.lists(st.integers(0, 1000)), st.sampled_from([b"\n", b"\r\n"]))
def test_events_come_in_any_pieces(cuts, line):
    said = b"event: log\nid: 7\ndata: {\ndata: }\n\n: still here\n\nevent:end\ndata:{}\n\nevent: cut"
    events = Events()

    came = [event for piece in pieces(said.replace(b"\n", line), cuts) for event in events.feed(piece)]

    assert came == [Event("log", "7", b"{\n}"), Event("end", "", b"{}")]


def test_a_request_as_bytes():
    headers = "Host: a\r\nAuthorization: Api-Key k\r\n"
    assert Request("GET", "/v1/runs").encoded("/ziet", headers) == (
        b"GET /ziet/v1/runs HTTP/1.1\r\nHost: a\r\nAuthorization: Api-Key k\r\n\r\n"
    )
    assert (
        Request("POST", "/x", b"{}")
        .encoded("", "")
        .endswith(b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
    )
    assert Request("POST", "/x").encoded("", "") == b"POST /x HTTP/1.1\r\nContent-Length: 0\r\n\r\n"
    live = Request("GET", "/x", live=True, last_event="7").encoded("", "")
    assert b"Accept: text/event-stream\r\nLast-Event-ID: 7\r\n" in live
