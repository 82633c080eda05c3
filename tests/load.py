"""A load of runs on a server that is killed again and again, and what must be true of them at the end."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from server import ENDED, Answer, Server

ACTIONS = ("load.work", "load.flaky", "load.nested")
CLIENTS = 2
PACE_SECONDS = 0.05
PATIENCE_SECONDS = 90
LOST_AT_MOST = 5
"""Attempts that are lost in a row: the last of them fails the run."""
NOT_NOW = {429, 503}
"""What an accepted run is never answered with: the client asks again, with the same idempotency key."""


END = b"end"
SILENT_SECONDS = 5


class Effects:
    """What actions have done: they tell it here, so it outlives them and the server."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self._of: dict[int, list[dict[str, Any]]] = defaultdict(list)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def of(self, number: int) -> list[dict[str, Any]]:
        return self._of.get(number, [])

    def seen(self) -> list[dict[str, Any]]:
        return list(itertools.chain(*list(self._of.values())))

    def until(self, number: int, times: int = 1) -> list[dict[str, Any]]:
        """Waits until something was done so often for that number."""
        end = time.monotonic() + PATIENCE_SECONDS
        while len(seen := self.of(number)) < times:
            assert time.monotonic() < end, f"{seen} for {number}"
            time.sleep(0.01)
        return seen

    def until_more(self) -> None:
        """Waits until something is done."""
        before = len(self.seen())
        end = time.monotonic() + PATIENCE_SECONDS
        while len(self.seen()) == before:
            assert time.monotonic() < end, "nothing is done any more"
            time.sleep(0.01)

    def close(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(END)
        self._reader.join()
        self._listener.close()

    def _read(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            connection.settimeout(SILENT_SECONDS)
            # One that was killed in the middle has not said it, so nobody relies on it.
            with connection, connection.makefile("rb") as told, contextlib.suppress(OSError, ValueError):
                text = told.read()
                if text == END:
                    return
                effect = json.loads(text)
                self._of[effect["number"]].append(effect)


class Load:
    """Clients that submit numbered runs until they are told to stop, each number until it is accepted."""

    def __init__(self, server: Server, effects: Effects) -> None:
        self.server = server
        self.effects = effects
        self.accepted: dict[int, str] = {}
        """The id of the run of each number."""
        self.told: dict[int, float] = {}
        """When a client was told that the run of a number has finished."""
        self._numbers = itertools.count()
        self._enough = threading.Event()
        self._pool = ThreadPoolExecutor(CLIENTS)
        self._clients: list[Future[None]] = []

    def __enter__(self) -> Load:
        self._clients = [self._pool.submit(self._submit_all) for _ in range(CLIENTS)]
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._pool.shutdown()

    def stop(self) -> None:
        """Submits no more, and passes on what went wrong with a client."""
        self._enough.set()
        for client in self._clients:
            client.result()
        assert self.accepted

    def _submit_all(self) -> None:
        while not self._enough.is_set():
            number = next(self._numbers)
            self.accepted[number] = self._submit(number)
            time.sleep(PACE_SECONDS)

    def _submit(self, number: int) -> str:
        """The id of the run, which is one and the same however often the request had to be sent."""
        body = {
            "action_id": ACTIONS[number % len(ACTIONS)],
            "input": {"number": number, "port": self.effects.port},
            "idempotency_key": f"number {number}",
            "metadata": {"number": number},
        }
        # Some clients wait for the result, some send everything twice.
        waits, twice = number % 5 == 0, number % 7 == 0
        answer = self.until_accepted(body, "?wait=2" if waits else "")
        if answer.document["status"] in ENDED:
            self.told[number] = time.time()
        if twice:
            again = self.until_accepted(body, "")
            assert again.document["id"] == answer.document["id"], "two runs of one idempotency key"
        return answer.document["id"]

    def until_accepted(self, body: dict[str, Any], query: str) -> Answer:
        """Sends a request again and again while there is no server, or none that accepts it."""
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            # Dead, or about to listen somewhere else.
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                answer = self.server.request("POST", f"/v1/runs{query}", body)
                if answer.status not in NOT_NOW:
                    assert answer.status in (200, 201, 202), answer
                    return answer
            time.sleep(0.02)
        raise AssertionError(f"not accepted: {body}, {''.join(self.server.log[-50:])}")


def listed(server: Server, path: str) -> Iterator[dict[str, Any]]:
    """All that a path lists, page after page."""
    joint = "&" if "?" in path else "?"
    cursor = ""
    while True:
        page = server.get(f"{path}{joint}limit=100{cursor}")
        yield from page["data"]
        if not page["pagination"]["has_more"]:
            return
        cursor = f"&cursor={page['pagination']['next_cursor']}"


def check(load: Load) -> None:
    """Every accepted run has completed, once and for all, and no entry that was acknowledged is missing."""
    server = load.server
    until_all_ended(server)
    runs = list(listed(server, "/v1/runs"))
    assert len({run["id"] for run in runs}) == len(runs)
    roots = {run["metadata"]["number"]: run["id"] for run in runs if run["parent_id"] is None}
    assert len(roots) == sum(run["parent_id"] is None for run in runs), "two runs of one number"
    assert roots == load.accepted
    for number, run in load.accepted.items():
        check_one(load, number, server.run(run))


def until_all_ended(server: Server) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while alive := [run for run in listed(server, "/v1/runs") if run["status"] not in ENDED]:
        assert time.monotonic() < end, alive
        time.sleep(0.2)


def check_one(load: Load, number: int, run: dict[str, Any]) -> None:
    effects = load.effects.of(number)
    outcomes = [attempt["outcome"] for attempt in run["attempts"]]
    assert [attempt["number"] for attempt in run["attempts"]] == list(range(1, len(outcomes) + 1)), run
    lost_too_often = outcomes[-LOST_AT_MOST:] == ["lost"] * LOST_AT_MOST
    if lost_too_often or (run["error"] or {}).get("code") == "import_failed":
        # As is promised, and what comes of killing so often: also of killing one that imports the project.
        assert run["status"] == "failed", run
    else:
        assert (run["status"], run["output"]) == ("completed", number), run
        assert outcomes.index("completed") == len(outcomes) - 1, run
        assert effects, f"completed without having done anything: {run}"
    entries = {entry["entry_id"] for entry in listed(load.server, f"/v1/runs/{run['id']}/memory")}
    acknowledged = {effect["entry"] for effect in effects} - {None}
    assert acknowledged <= entries, f"acknowledged, and not there: {run}"
    if number in load.told:
        after = [effect for effect in effects if effect["at"] > load.told[number]]
        assert not after, f"executed again after its end was told: {run}, {after}"
