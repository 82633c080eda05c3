"""A server is replaced by another program under load: no request fails, and no run is lost or done twice."""

from __future__ import annotations

import http.client
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from load import PATIENCE_SECONDS, Effects, Load, check
from program import Project, Ziet
from server import Answer, Server

ACCEPTED = (200, 201, 202)
HANDS_OVER = """\
import os, sys
sockets, *command = sys.argv[1:]
held = [os.dup(int(number)) for number in sockets.split()]
for place, socket in enumerate(held, start=3):
    os.dup2(socket, place)
    os.set_inheritable(place, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(held)))
os.execv(command[0], command)
"""
"""What systemd does for a server: the sockets are its first descriptors after the usual ones."""


@pytest.fixture
def effects() -> Iterator[Effects]:
    effects = Effects()
    yield effects
    effects.close()


class HandedOver(Server):
    """A server on a socket of somebody else, which is there before and after it."""

    def __init__(self, ziet: Ziet, project: Project, *options: str, sockets: list[socket.socket], **more: str) -> None:
        self._sockets = sockets
        super().__init__(ziet, project, options, more)

    def start(self) -> None:
        self.descriptors = [each.fileno() for each in self._sockets]
        super().start()

    @property
    def command(self) -> list[str]:
        sockets = " ".join(map(str, self.descriptors))
        return [sys.executable, "-c", HANDS_OVER, sockets, *super().command]


class Unfailing(Load):
    """Clients that keep their connections, of whom none may ever be refused anything."""

    def __init__(self, server: Server, effects: Effects, address: tuple[str, int]) -> None:
        super().__init__(server, effects)
        self._address = address
        self._own = threading.local()
        self._connections: list[http.client.HTTPConnection] = []

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        for connection in self._connections:
            connection.close()

    def until_accepted(self, body: dict[str, Any], query: str) -> Answer:
        if not hasattr(self._own, "connection"):
            self._own.connection = http.client.HTTPConnection(*self._address, timeout=PATIENCE_SECONDS)
            self._connections.append(self._own.connection)
        head = {"Authorization": f"Api-Key {self.server.key}", "Content-Type": "application/json"}
        self._own.connection.request("POST", f"/v1/runs{query}", json.dumps(body), head)
        answer = self._own.connection.getresponse()
        read = Answer(answer.status, dict(answer.headers), answer.read().decode())
        assert read.status in ACCEPTED, read
        return read


def programs(ziet: Ziet) -> tuple[Path, Path]:
    """The program under two names."""
    for name in ("old", "new"):
        (ziet.scratch / name).symlink_to(ziet.program)
    return ziet.scratch / "old", ziet.scratch / "new"


def replaced_under_load(server: Server, load: Load, effects: Effects, program: Path) -> None:
    for _ in range(3):
        before = len(load.accepted)
        effects.until_more()
        assert server.stop() == 0
        server.program = program
        server.start()
        end = time.monotonic() + PATIENCE_SECONDS
        while len(load.accepted) < before + 10:
            assert time.monotonic() < end, "nothing is accepted any more"
            time.sleep(0.01)


def test_a_server_on_a_socket_of_systemd_is_replaced_and_no_request_fails(ziet: Ziet, effects: Effects) -> None:
    old, new = programs(ziet)
    ziet.program = old
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        address = listener.getsockname()
        with HandedOver(ziet, ziet.project("load"), sockets=[listener]) as server:
            assert server.url == f"http://127.0.0.1:{address[1]}"
            with Unfailing(server, effects, address) as load:
                replaced_under_load(server, load, effects, new)
                load.stop()
            check(load)


def test_a_server_on_its_own_socket_is_replaced_and_clients_that_repeat_lose_nothing(
    ziet: Ziet, effects: Effects
) -> None:
    old, new = programs(ziet)
    ziet.program = old
    with ziet.serve(ziet.project("load")) as server:
        with Load(server, effects) as load:
            replaced_under_load(server, load, effects, new)
            load.stop()
        check(load)


def test_who_comes_before_the_server_waits_for_it(ziet: Ziet) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname(), timeout=PATIENCE_SECONDS) as client,
    ):
        client.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        with HandedOver(ziet, ziet.project("load"), sockets=[listener]):
            answer = b"".join(iter(lambda: client.recv(4096), b""))

    # Not 503: it is let in when the project is imported.
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_a_client_that_stays_is_told_to_connect_anew_and_one_that_waits_is_answered(
    ziet: Ziet, effects: Effects
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        with HandedOver(ziet, ziet.project("load"), sockets=[listener]) as server:
            idle = http.client.HTTPConnection(*address, timeout=PATIENCE_SECONDS)
            idle.request("GET", "/healthz")
            assert idle.getresponse().read()
            waiting = http.client.HTTPConnection(*address, timeout=PATIENCE_SECONDS)
            head = {"Authorization": f"Api-Key {server.key}", "Content-Type": "application/json"}
            slow = {"action_id": "load.slow", "input": {"number": 1, "port": effects.port, "seconds": 2}}
            waiting.request("POST", "/v1/runs?wait=60", json.dumps(slow), head)
            effects.until(1)
            ending = threading.Thread(target=server.stop)
            ending.start()
            assert idle.sock.recv(1) == b"", "an idle connection is closed"
            answer = waiting.getresponse()
            document = json.loads(answer.read())
            ending.join()
            idle.close()
            waiting.close()

    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert document["status"] == "completed"


def test_systemd_hears_that_the_server_is_ready_lives_and_stops(ziet: Ziet, effects: Effects) -> None:
    told = Path(ziet.environment["TMPDIR"]) / "notify"
    heard: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(told))

        def hear() -> None:
            while text := systemd.recv(1024).decode():
                heard.append(text.strip())

        hearing = threading.Thread(target=hear)
        hearing.start()
        with ziet.serve(ziet.project("load"), NOTIFY_SOCKET=str(told), WATCHDOG_USEC="200000") as server:
            server.submit("load.slow", number=1, port=effects.port, seconds=2)
            effects.until(1)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"", str(told))
        hearing.join()

    stopping = heard.index("STOPPING=1")
    assert heard[:2] == ["READY=1", "WATCHDOG=1"]
    # It may take longer to end than systemd waits to hear of it.
    assert {*heard[1:stopping]} == {*heard[stopping + 1 :]} == {"WATCHDOG=1"}


def test_a_socket_that_is_not_right_is_refused(ziet: Ziet) -> None:
    anybody = socket.create_server(("0.0.0.0", 0))
    local = socket.create_server(("127.0.0.1", 0))
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(str(Path(ziet.environment["TMPDIR"]) / "socket"))
    unix.listen()
    with anybody, local, unix:
        for sockets, why in [
            ([anybody], "others could read the keys on their way"),
            ([local, anybody], "2 sockets were handed over (LISTEN_FDS)"),
            ([unix], "ListenStream= in the .socket unit must be an address and a port"),
        ]:
            with pytest.raises(AssertionError) as told:
                HandedOver(ziet, ziet.project("load"), sockets=sockets)
            assert why in str(told.value)
