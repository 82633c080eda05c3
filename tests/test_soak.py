"""Long tests, which `make soak` runs: what holds once must hold a thousand times."""

from __future__ import annotations

import random
import time

import psutil
import pytest

from program import Ziet, marked

KILLS = 1000

BUSY = """
import subprocess, time
from ziet import Action, memory

@Action(description="Works")
def work(number: int) -> int:
    memory.add(f"number_{number}", number)
    print("number", number)
    return number + 1

@Action(description="Has children of both kinds", retries=1)
def busy() -> None:
    sleeper = subprocess.Popen(["sleep", "600"], start_new_session=True)
    number = 0
    while True:
        number = work(number)
"""


@pytest.mark.soak
def test_a_thousand_kills_leave_nothing(ziet: Ziet) -> None:
    """At any moment of its life: the moments are random, and told, so that one can be tried again."""
    project = ziet.write({"busy.py": BUSY})
    seed = random.randrange(2**32)
    moments = random.Random(seed)
    for kill in range(KILLS):
        running = project.start("run", "--local", "action", "busy")
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
def test_a_thousand_runs_leave_nothing(ziet: Ziet) -> None:
    project = ziet.write({"busy.py": BUSY})
    for number in range(KILLS):
        done = project.run("work", "-p", f"number={number}")
        assert (done.status, done.memory) == (0, {f"number_{number}": number})
        assert not ziet.left_over()
