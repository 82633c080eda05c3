"""Whatever is killed, stopped, or filled up: what was accepted is finished, once, and nothing acknowledged is lost."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import psutil
import pytest

from load import Effects, Load, check, listed
from program import Ziet, marked
from server import Answer, Server

MEGABYTE = 1 << 20


@pytest.fixture
def effects() -> Iterator[Effects]:
    effects = Effects()
    yield effects
    effects.close()


def serve(ziet: Ziet, *options: str, **environment: str) -> Server:
    return ziet.serve(ziet.project("load"), *options, **environment)


def nothing_left(ziet: Ziet, seconds: float = 5) -> None:
    """Neither zygotes nor executors, nor what they have started."""
    end = time.monotonic() + seconds
    while left := marked(ziet.mark):
        assert time.monotonic() < end, left
        psutil.wait_procs(left, timeout=0.1)


def crash(ziet: Ziet, effects: Effects, kills: int, sandbox: str) -> None:
    seed = random.randrange(2**32)
    moments = random.Random(seed)
    print(f"seed {seed}")  # pytest shows it when the test fails, so that the moments can be tried again
    # Runs that wait for the next attempt of another would be lost more often than they may be.
    with serve(ziet, ZIET_SANDBOX=sandbox, ZIET_BACKOFF="false") as server:
        with Load(server, effects) as load:
            for _ in range(kills):
                time.sleep(moments.uniform(0, 1))
                server.kill()
                nothing_left(ziet)
                server.start()
            load.stop()
        check(load)
    # A server that is killed does not remove the folder of its socket.
    ziet.remove_folders()


def test_accepted_runs_outlive_kills_of_the_server(ziet: Ziet, effects: Effects) -> None:
    crash(ziet, effects, kills=5, sandbox="on")


@pytest.mark.soak
@pytest.mark.parametrize("sandbox", ["on", "off"])
def test_accepted_runs_outlive_500_kills_of_the_server(ziet: Ziet, effects: Effects, sandbox: str) -> None:
    crash(ziet, effects, kills=500, sandbox=sandbox)


def test_an_attempt_that_a_crash_ended_is_lost_and_follows_at_once(ziet: Ziet, effects: Effects) -> None:
    with serve(ziet) as server:
        run = server.submit("load.slow", number=1, port=effects.port, seconds=600)
        effects.until(1)
        server.until(run, lambda document: document["status"] == "running")
        server.kill()
        server.start()
        restarted = time.monotonic()
        document = server.until(run, lambda document: len(document["attempts"]) > 0)
        assert time.monotonic() - restarted < 5
        assert [attempt["outcome"] for attempt in document["attempts"]] == ["lost"]
        effects.until(1, times=2)
        assert server.request("POST", f"/v1/runs/{run}/cancel").status in (200, 202)
        assert server.wait(run)["status"] == "cancelled"
    ziet.remove_folders()


@pytest.mark.parametrize("kills", [8, pytest.param(500, marks=pytest.mark.soak)])
def test_runs_outlive_kills_of_zygotes_and_executors(ziet: Ziet, effects: Effects, kills: int) -> None:
    seed = random.randrange(2**32)
    chosen = random.Random(seed)
    print(f"seed {seed}")
    with serve(ziet, ZIET_BACKOFF="false") as server:
        with Load(server, effects) as load:
            for _ in range(kills):
                # Of one that has not imported the project yet there is nothing to be lost.
                effects.until_more()
                time.sleep(chosen.uniform(0, 0.2))
                below = psutil.Process(server.process.pid).children(recursive=True)
                # It may have ended by itself.
                with contextlib.suppress(psutil.NoSuchProcess, IndexError):
                    chosen.choice(below).kill()
            load.stop()
        check(load)


@pytest.mark.parametrize("seconds", [4, pytest.param(40, marks=pytest.mark.soak)])
def test_a_server_that_was_stopped_settles_what_is_overdue(ziet: Ziet, effects: Effects, seconds: int) -> None:
    with serve(ziet) as server:
        late = server.submit("load.late", number=1, port=effects.port)
        slow = server.submit("load.slow", number=2, port=effects.port, seconds=0.5)
        delayed = server.submit("load.work", {"delay_seconds": 1}, number=3, port=effects.port)
        effects.until(1)
        effects.until(2)

        server.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        server.process.send_signal(signal.SIGCONT)
        woken = time.monotonic()

        ended = {run: server.wait(run) for run in (late, slow, delayed)}
        assert time.monotonic() - woken < 2, ended
        assert [attempt["outcome"] for attempt in ended[late]["attempts"]] == ["timed_out"]
        assert [attempt["outcome"] for attempt in ended[slow]["attempts"]] == ["completed"]
        assert [attempt["outcome"] for attempt in ended[delayed]["attempts"]] == ["completed"]
        assert sorted(effect["number"] for effect in effects.seen()) == [1, 2, 3]


@pytest.fixture
def small_disk(ziet: Ziet) -> Iterator[Path]:
    """A file system of 24 MB for the state."""
    folder = ziet.scratch / "state"
    folder.mkdir(mode=0o700)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root can make a file system, and where mounting is allowed")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def resize(folder: Path, megabytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={megabytes}m", folder], check=True)


def test_a_full_disk_refuses_what_it_cannot_keep_and_goes_on_when_there_is_space(ziet: Ziet, small_disk: Path) -> None:
    text = "x" * MEGABYTE
    with serve(ziet) as server:
        accepted, refused = fill(server, text)
        assert (refused.status, refused.document["code"]) == (507, "storage_full")
        assert "no space is left" in refused.document["detail"], refused
        assert "retry-after" in refused.headers
        # It lives, and shows what it has.
        assert server.request("GET", "/healthz").status == 200
        assert server.run(accepted[0])["id"] == accepted[0]

        resize(small_disk, 128)
        accepted.append(submitted_again(server, text))
        for run in accepted:
            assert server.wait(run)["output"] == MEGABYTE


def submitted_again(server: Server, text: str) -> str:
    """Submits as often as the server says that it may be tried again: what could not be written goes first."""
    for _ in range(20):
        answer = server.request("POST", "/v1/runs", {"action_id": "load.take", "input": {"text": text}})
        if answer.status != 507:
            return answer.document["id"]
        time.sleep(float(answer.headers["retry-after"]))
    raise AssertionError("it is still refused")


def fill(server: Server, text: str) -> tuple[list[str], Answer]:
    """Submits until it is refused; what was accepted, and the refusal."""
    accepted: list[str] = []
    while len(accepted) < 100:
        answer = server.request("POST", "/v1/runs", {"action_id": "load.take", "input": {"text": text}})
        if answer.status >= 400:
            assert answer.status == 507, answer
            return accepted, answer
        accepted.append(answer.document["id"])
    raise AssertionError("100 MB fit on 24")


OFFSET = "ZIET_CLOCK_OFFSET"
"""A variable that nobody is told of: seconds that the server's clock is ahead."""


def test_a_clock_that_was_set_forward_makes_due_what_is_overdue(ziet: Ziet, effects: Effects) -> None:
    with serve(ziet) as server:
        later = server.submit("load.work", {"delay_seconds": 3600}, number=1, port=effects.port)
        ziet.environment[OFFSET] = "7200"
        server.restart()
        assert server.wait(later)["status"] == "completed"
        assert len(effects.seen()) == 1


def test_a_clock_that_was_set_back_stops_nothing(ziet: Ziet, effects: Effects) -> None:
    ziet.environment[OFFSET] = "7200"
    with serve(ziet, "--concurrency", "1") as server:
        runs = [server.submit("load.slow", number=1, port=effects.port, seconds=1)]
        effects.until(1)
        runs += [server.submit("load.work", number=number, port=effects.port) for number in (2, 3)]
        server.kill()
        nothing_left(ziet)
        del ziet.environment[OFFSET]
        server.start()
        runs.append(server.submit("load.work", number=4, port=effects.port))
        for run in runs:
            assert server.wait(run)["status"] == "completed"
        assert {run["id"] for run in listed(server, "/v1/runs")} == set(runs)
    ziet.remove_folders()


@pytest.mark.parametrize("offset", [-7200, 7200])
def test_all_of_a_server_has_one_clock(ziet: Ziet, effects: Effects, offset: int) -> None:
    ziet.environment[OFFSET] = str(offset)
    with serve(ziet) as server:
        run = server.submit("load.work", {"delay_seconds": 1}, number=1, port=effects.port)
        ended = server.wait(run)
        created, started = (datetime.fromisoformat(ended[name]) for name in ("created_at", "started_at"))
        assert timedelta(seconds=1) <= started - created < timedelta(seconds=30)
        ahead = created - datetime.now(timezone.utc)
        assert abs(ahead.total_seconds() - offset) < 60
        body = {"key": "note", "value": 1}
        entry = server.request("POST", f"/v1/runs/{run}/memory", body).document
        assert abs(datetime.fromisoformat(entry["created_at"]) - started) < timedelta(seconds=60)


def test_what_is_old_by_the_servers_clock_is_removed_when_it_starts(ziet: Ziet, effects: Effects) -> None:
    with serve(ziet) as server:
        run = server.submit("load.work", number=1, port=effects.port)
        server.wait(run)
        ziet.environment[OFFSET] = str(31 * 24 * 3600)
        server.restart()
        end = time.monotonic() + 20
        while server.request("GET", f"/v1/runs/{run}").status != 404:
            assert time.monotonic() < end
            time.sleep(0.1)
