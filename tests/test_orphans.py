"""Whatever an action has started ends with its attempt, however that ends, and with the program, however that ends."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest

from program import Project, Ziet, marked

LEAVES = """
import ctypes, json, os, signal, subprocess, sys, time
from dataclasses import dataclass
from pathlib import Path
from ziet import Action

LEFT = Path(os.environ["SCRATCH"]) / "left"
SUBREAPER = 36
KEPT = []

def deaf():
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)

def sleeps():
    time.sleep(600)

def adopts():
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    start_daemon()
    time.sleep(600)

def start(doing):
    # Only when its first byte has come, it has done what comes before it sleeps.
    begun, begin = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.write(begin, b".")
        doing()
        os._exit(0)
    os.read(begun, 1)
    os.close(begun)
    os.close(begin)
    return pid

def start_daemon():
    told, tell = os.pipe()
    middle = os.fork()
    if middle == 0:
        os.setsid()
        os.write(tell, str(start(sleeps)).encode())
        os._exit(0)
    os.waitpid(middle, 0)
    pid = int(os.read(told, 20))
    os.close(told)
    os.close(tell)
    return pid

def start_all():
    sleep = ["sleep", "600"]
    LEFT.write_text(json.dumps([
        subprocess.Popen(sleep).pid,
        subprocess.Popen(sleep, start_new_session=True).pid,
        subprocess.Popen(sleep, env={}, start_new_session=True).pid,
        subprocess.Popen(sleep, start_new_session=True, preexec_fn=deaf).pid,
        start_daemon(),
        start(adopts),
    ]))

def alive():
    left = json.loads(LEFT.read_text())
    until = time.monotonic() + 5
    while left and time.monotonic() < until:
        left = [pid for pid in left if os.path.exists(f"/proc/{pid}")]
        time.sleep(0.01)
    return left

@Action(description="Starts processes and ends", timeout=2)
def leave(how: str):
    start_all()
    if how == "raises":
        raise ValueError(how)
    if how == "exits":
        os._exit(3)
    if how == "is killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "hangs":
        time.sleep(600)

@Action(description="Starts processes and goes on")
def stay():
    start_all()
    print("hanging")
    time.sleep(600)

@Action(description="Says what is alive of what an action has left")
def left_by(how: str) -> list[int]:
    try:
        leave(how)
    except Exception:
        pass
    return alive()

@Action(description="Kills the zygote, and says afterwards what is alive")
def without_zygote() -> list[int]:
    if LEFT.exists():
        return alive()
    start_all()
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)

@Action(description="Waits until it is in a group of its own", timeout=5)
def group() -> str:
    while True:
        *_, own = Path("/proc/self/cgroup").read_text().splitlines()[-1].split("/")
        if own.isdecimal():
            return own
        time.sleep(0.01)

@dataclass
class Slow:
    x: int

    def __post_init__(self):
        LEFT.write_text(json.dumps([os.getpid()]))
        while True:
            pass

@Action(description="Takes what is never made")
def takes(slow: Slow):
    pass

@Action(description="Returns before its time is up, while a thread of a library shuffles letters", timeout=4)
def computes() -> str:
    letters, thread, libc = ctypes.create_string_buffer(b"x" * 2**26), ctypes.c_ulong(), ctypes.CDLL(None)
    KEPT.extend([letters, thread])
    libc.pthread_create(ctypes.byref(thread), None, ctypes.cast(libc.strfry, ctypes.c_void_p), letters)
    time.sleep(0.4)
    return "in time"

@Action(description="Forks 200 times, as fast as it can, and never ends", timeout=2)
def bomb():
    more, room = os.pipe()
    os.write(room, b"." * 150 + b"!" + b"." * 49)
    while True:
        if os.read(more, 1) == b"!":
            open(2, "w", closefd=False).write("150 forks\\n")
        if os.fork() == 0:
            os.setsid()
"""


SLEEPS = """
import time
from ziet import Action

@Action(description="Says that it sleeps, and does")
def sleeps():
    print("sleeping")
    time.sleep(600)

@Action(description="Returns")
def returns():
    pass
"""


@pytest.fixture
def project(ziet: Ziet) -> Project:
    return ziet.write({"leaves.py": LEAVES})


@pytest.mark.parametrize("without", ["", "cgroup"])
@pytest.mark.parametrize("how", ["returns", "raises", "exits", "is killed", "hangs"])
def test_what_an_attempt_started_ends_with_it(project: Project, how: str, without: str) -> None:
    done = project.run("left_by", "-p", f"how={how}", "--json", ZIET_WITHOUT=without)
    assert done.document["output"] == [], done.lines


def test_what_executors_leave_when_their_zygote_dies_is_ended(project: Project) -> None:
    done = project.run("without_zygote", "--json")
    assert done.document["output"] == [], done.lines
    assert [attempt["outcome"] for attempt in done.document["attempts"]] == ["lost", "completed"]


@pytest.mark.parametrize("without", ["", "cgroup"])
def test_a_fork_bomb_ends_with_its_attempt(project: Project, ziet: Ziet, without: str) -> None:
    running = project.start("run", "--local", "action", "bomb", ZIET_WITHOUT=without)
    running.until("150 forks")
    assert len(marked(ziet.mark)) > 100
    assert running.finish().status == 1


def test_an_executor_has_a_group_of_its_own_where_one_can_be_made(project: Project) -> None:
    [found] = [row["found"] for row in project("doctor", "--json").document if row["check"] == "cgroup"]
    if not found.startswith("can be made") or "cgroup.kill" in found:
        pytest.skip(found)
    assert project.run("group", "--json").document["output"] == "1"


@pytest.mark.parametrize(
    ("action", "told", "number"),
    [
        ("stay", "hanging", signal.SIGKILL),
        ("bomb", "150 forks", signal.SIGKILL),
        # What Ctrl-\\ sends: for whom Ctrl-C is too slow.
        ("stay", "hanging", signal.SIGQUIT),
    ],
)
def test_nothing_outlives_the_program(
    project: Project, ziet: Ziet, action: str, told: str, number: signal.Signals
) -> None:
    running = project.start("run", "--local", "action", action)
    running.until(told)
    below = running.descendants()

    os.kill(running.pid, number)
    assert running.finish().status == -number

    _, alive = psutil.wait_procs(below, timeout=10)
    assert alive == []
    assert ziet.left_over() == []


def test_a_program_that_is_killed_while_test_data_is_made_leaves_nothing(project: Project, ziet: Ziet) -> None:
    running = project.start("run", "--local", "action", "takes")
    left = ziet.scratch / "left"
    until = time.monotonic() + 30
    while not left.exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    below = running.descendants()

    os.kill(running.pid, signal.SIGKILL)
    running.finish()

    _, alive = psutil.wait_procs(below, timeout=10)
    for process in alive:
        process.kill()
    assert alive == []
    # Nobody was there to see the end of the program and to remove the folder of its socket.
    for folder in ziet.left_over():
        shutil.rmtree(folder)


@pytest.mark.parametrize("sandbox", ["off", "on"])
def test_what_is_left_when_everything_is_killed_at_once_is_removed_by_the_next(ziet: Ziet, sandbox: str) -> None:
    temporary = Path(ziet.environment["TMPDIR"])
    os.chmod(temporary, 0o711)
    own = ziet.write({"sleeps.py": SLEEPS})
    lives, dies = (own.start("run", "--local", "action", "sleeps", "--sandbox", sandbox) for _ in range(2))
    lives.until("sleeping")
    dies.until("sleeping")
    kept, others = temporary / "ziet-notes", set(temporary.glob("ziet-*"))
    kept.mkdir(mode=0o700)
    every = [psutil.Process(dies.pid), *dies.descendants()]
    # Stopped first, so that none sees the end of another.
    for process in every:
        process.suspend()
    for process in every:
        process.kill()
    dies.finish()
    psutil.wait_procs(every, timeout=10)
    assert set(temporary.glob("ziet-*")) == {*others, kept}, "somebody has cleared up"

    done = own.run("returns")

    assert done.status == 0, done
    [living] = set(temporary.glob("ziet-*")) - {kept}
    assert living in others
    os.kill(lives.pid, signal.SIGINT)
    assert lives.finish().status == 130
    assert list(temporary.glob("ziet-*")) == [kept]
    kept.rmdir()


def test_a_result_that_came_in_time_counts_whatever_still_computes(project: Project) -> None:
    done = project.run("computes", "--json")
    assert (done.status, done.document["output"]) == (0, "in time"), done
    assert len(done.said("[WARN] left behind and ended: thread")) == 1
