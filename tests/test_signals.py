"""Interrupts, and processes that are killed from outside: nothing stays, and what can go on goes on."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from program import Project, Ziet, marked

STAYS = """
import os, signal, subprocess, time
from pathlib import Path
from ziet import Action, memory

SCRATCH = Path(os.environ["SCRATCH"])

@Action(description="Stays", retries=3)
def stay():
    memory.add("here", True)
    print("staying")
    if "READY" in os.environ:
        open(os.environ["READY"], "w").close()
    time.sleep(600)

@Action(description="Stays, deaf to everything, with processes of its own")
def stay_stubbornly():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    subprocess.Popen(["sleep", "600"])
    subprocess.Popen(["sleep", "600"], start_new_session=True)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(600)
        os._exit(0)
    os.wait()
    memory.add("here", True)
    print("staying")
    time.sleep(600)

@Action(description="Lets a child stay")
def parent():
    stay()

@Action(description="Fails", retries=3)
def fails():
    memory.add("here", True)
    raise ValueError("again")

@Action(description="Stays at first, and completes then")
def stays_once():
    memory.add("tries", len(memory.search("tries")) + 1)
    if (SCRATCH / "tried").exists():
        return "completed"
    (SCRATCH / "tried").touch()
    print("staying")
    time.sleep(600)

@Action(description="Is quick")
def quick():
    return 1
"""


@pytest.fixture
def project(ziet: Ziet) -> Project:
    return ziet.write({"stays.py": STAYS})


def fifo(ziet: Ziet) -> Path:
    """What waits, when it is opened, until the project's code opens it too."""
    ready = ziet.scratch / "ready"
    os.mkfifo(ready)
    return ready


INTERRUPTED = ["[WARN] Interrupted: ending the run", "❌ Local run interrupted"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("action", ["stay", "stay_stubbornly", "parent"])
def test_an_interrupt_ends_the_run_at_once(project: Project, ziet: Ziet, action: str, number: int) -> None:
    running = project.start("run", "--local", "action", action)
    running.until("staying")

    before = time.monotonic()
    os.kill(running.pid, number)
    done = running.finish()

    assert time.monotonic() - before < 2
    assert done.status == 130
    assert [line for line in done.lines if line in INTERRUPTED] == INTERRUPTED
    assert done.memory == {"here": True}
    assert ziet.left_over() == []


def test_an_interrupt_while_a_retry_is_waited_for(project: Project) -> None:
    running = project.start("run", "--local", "action", "fails")
    running.until("Retrying in 2s")

    os.kill(running.pid, signal.SIGINT)
    done = running.finish()

    assert done.status == 130
    assert list(done.memory) == ["here", "stays.fails.error"]


def test_an_interrupt_while_the_project_is_imported(ziet: Ziet) -> None:
    project = ziet.write(
        {"slow.py": "import ziet, os, time\nopen(os.environ['READY'], 'w').close()\ntime.sleep(600)\n"}
    )
    ready = fifo(ziet)
    running = project.start("run", "--local", "action", "any", READY=str(ready))
    ready.open().close()

    os.kill(running.pid, signal.SIGINT)
    done = running.finish()

    assert (done.status, done.out) == (130, "")
    assert "interrupted" in done.err


def test_several_interrupts_are_one(project: Project) -> None:
    running = project.start("run", "--local", "action", "stay_stubbornly")
    running.until("staying")

    for _ in range(5):
        running.process.send_signal(signal.SIGINT)
    done = running.finish()

    assert done.status == 130
    assert len(done.said("Interrupted")) == 1


def test_an_interrupted_run_has_its_document(project: Project, ziet: Ziet) -> None:
    ready = fifo(ziet)
    running = project.start("run", "--local", "action", "stay", "--json", READY=str(ready))
    ready.open().close()

    os.kill(running.pid, signal.SIGINT)
    done = running.finish()

    run = done.document
    assert (done.status, run["status"], run["error"]) == (130, "cancelled", None)
    assert run["cancelled"] == {"by": "interrupt", "reason": None}
    assert [attempt["outcome"] for attempt in run["attempts"]] == ["cancelled"]


def test_ctrl_c_in_a_terminal(project: Project, ziet: Ziet) -> None:
    running, keyboard = project.start_in_terminal("run", "--local", "action", "stay_stubbornly")
    running.until("staying")

    os.write(keyboard, b"\x03")
    done = running.finish()

    assert done.status == 130
    assert "Interrupted: ending the run" in done.out
    assert done.out.rstrip().endswith('Result stored in memory: {"here": true}')
    assert ziet.left_over() == []


def test_a_terminal_that_is_closed_ends_the_run(project: Project, ziet: Ziet) -> None:
    running, _ = project.start_in_terminal("run", "--local", "action", "stay_stubbornly")
    running.until("staying")

    running.hang_up()

    assert running.process.wait() == 130
    assert ziet.left_over() == []


@pytest.mark.parametrize("action", ["stay", "parent", "stay_stubbornly"])
def test_a_program_that_is_killed_leaves_no_process(project: Project, ziet: Ziet, action: str) -> None:
    running = project.start("run", "--local", "action", action)
    running.until("staying")
    assert running.descendants()

    running.process.kill()
    running.finish()

    _, alive = psutil.wait_procs(marked(ziet.mark), timeout=2)
    assert alive == []
    ziet.remove_folders()  # Nobody is left who could.


def test_a_run_is_executed_again_when_its_zygote_is_killed(project: Project) -> None:
    running = project.start("run", "--local", "action", "stays_once", "--json")
    tried = project.folder.parent / "tried"
    while not tried.exists():
        assert running.process.poll() is None
    [zygote] = psutil.Process(running.pid).children()

    zygote.kill()
    done = running.finish()

    run = done.document
    assert (done.status, run["output"]) == (0, "completed")
    assert [attempt["outcome"] for attempt in run["attempts"]] == ["lost", "completed"]
    assert [attempt["number"] for attempt in run["attempts"]] == [1, 2]
    assert run["memory"] == {"tries": 2}
    assert done.said("it is executed again") == ["[WARN] Action stays_once lost its process; it is executed again"]


def test_standard_input_is_left_alone(ziet: Ziet) -> None:
    """A run in a loop over lines must not eat them."""
    project = ziet.write({"stays.py": STAYS})
    done = project.run("quick", stdin="for the shell")

    assert done.status == 0
