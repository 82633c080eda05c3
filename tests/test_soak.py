"""Long tests, which `make soak` runs: what holds once must hold a thousand times."""

from __future__ import annotations

import os
import random
import time

import psutil
import pytest

from program import Project, Ziet, marked

KILLS = 1000

BUSY = """
import ctypes, subprocess, sys, time
from concurrent.futures import ThreadPoolExecutor
from ziet import Action, memory

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)", "MARK"]

@Action(description="Works")
def work(number: int) -> int:
    memory.add(f"number_{number}", number)
    print("number", number)
    return number + 1

@Action(description="Has children of both kinds", retries=1)
def busy() -> None:
    sleeper = subprocess.Popen(SLEEP, start_new_session=True)
    number = 0
    while True:
        number = work(number)

@Action(description="Leaves a child process")
def leaves(number: int) -> None:
    subprocess.Popen(SLEEP, start_new_session=True)

@Action(description="Hangs with a child process, in C", timeout=1)
def hangs(number: int) -> None:
    subprocess.Popen(SLEEP, start_new_session=True)
    ctypes.PyDLL(None).sleep(600)

@Action(description="Lets ten at a time be killed", timeout=900)
def lets_kill(times: int) -> int:
    killed = 0
    with ThreadPoolExecutor(10) as pool:
        for wait in [pool.submit(hangs, number) for number in range(times)]:
            killed += isinstance(wait.exception(), TimeoutError)
            leaves(killed)
    return killed
"""


def busy(ziet: Ziet) -> Project:
    return ziet.write({"busy.py": BUSY.replace("MARK", ziet.mark)})


SANDBOX = pytest.mark.parametrize("sandbox", ["off", "on"])


@pytest.mark.soak
@SANDBOX
def test_a_thousand_kills_leave_nothing(ziet: Ziet, sandbox: str) -> None:
    """At any moment of its life: the moments are random, and told, so that one can be tried again."""
    project = busy(ziet)
    seed = random.randrange(2**32)
    moments = random.Random(seed)
    for kill in range(KILLS):
        running = project.start("run", "--local", "action", "busy", ZIET_SANDBOX=sandbox)
        deadline = time.monotonic() + moments.uniform(0, 0.6)
        while time.monotonic() < deadline:
            running.process.stdout.readline()  # type: ignore[union-attr]
        running.process.kill()
        running.finish()
        assert not left_after(5, ziet), f"kill {kill} of seed {seed}"
    # One that is killed before its zygote listens has nobody to remove its folder.
    ziet.remove_folders()


def left_after(seconds: float, ziet: Ziet) -> list[psutil.Process]:
    """What is still there after that time, of all that the test started."""
    end = time.monotonic() + seconds
    while (left := marked(ziet.mark)) and time.monotonic() < end:
        psutil.wait_procs(left, timeout=0.1)
    return left


@pytest.mark.soak
@SANDBOX
def test_a_thousand_attempts_that_are_killed_leave_nothing(ziet: Ziet, sandbox: str) -> None:
    """By the program this time, which lives on with its pool: what is left is looked for after each hundred."""
    project = busy(ziet)
    for _ in range(KILLS // 100):
        done = project.run("lets_kill", "-p", "times=100", ZIET_SANDBOX=sandbox)
        assert done.said("[INFO] Action lets_kill returned 100"), done.lines[-5:]
        assert not ziet.left_over()


@pytest.mark.soak
@SANDBOX
def test_a_thousand_runs_leave_nothing(ziet: Ziet, sandbox: str) -> None:
    project = busy(ziet)
    for number in range(KILLS):
        done = project.run("work", "-p", f"number={number}", ZIET_SANDBOX=sandbox)
        assert (done.status, done.memory) == (0, {f"number_{number}": number})
        assert not ziet.left_over()


STUCK = """
import threading
from ziet import Action

def connect():
    threading.Event().wait()

@Action(description="Is never there")
def waits() -> None:
    pass

print("connecting", flush=True)
connect()
"""


@pytest.mark.soak
@SANDBOX
def test_an_import_that_takes_too_long_tells_where_it_is(ziet: Ziet, sandbox: str) -> None:
    os.chmod(ziet.environment["TMPDIR"], 0o711)
    project = ziet.write({"stuck.py": STUCK})
    done = project.run("waits", "--sandbox", sandbox)
    assert done.status == 1
    told = done.err[done.err.index("importing the project took longer than 60 s") :]
    place = f'  File "{project.folder}/stuck.py", line 13, in <module>'
    assert f"Traceback (most recent call last):\n{place}\n    connect()\n" in told
    assert told.rstrip().endswith(", in wait")
    assert "connecting" in told
