"""Which process an attempt gets: kept ones, fresh ones, and what happens when those that make them are gone."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from program import Project, Result, Running, Ziet

ACTIONS = """
import os
import signal
import time
from pathlib import Path

from ziet import Action, ActionError, memory

PROGRAM = os.getppid()
kept = []


@Action(description="Says in which process it is")
def where() -> int:
    return os.getpid()


@Action(description="Says with whom it shares processors")
def shares() -> dict[str, object]:
    group = Path("/proc/self/autogroup")
    return {
        "session": os.getsid(0) == os.getsid(os.getppid()) != os.getsid(PROGRAM),
        "group": os.getpgid(0) == os.getpid(),
        "nice": os.nice(0),
        "autogroup": group.read_text().split()[1:] if group.exists() else ["nice", "10"],
    }


@Action(description="Has a process of its own", isolation="attempt")
def alone() -> int:
    return os.getpid()


@Action(description="Keeps what it was given")
def leak(mb: int) -> int:
    kept.append(bytearray(mb * 1024 * 1024))
    return os.getpid()


@Action(description="Uses much and gives it back")
def use(mb: int) -> int:
    len(bytearray(mb * 1024 * 1024))
    return os.getpid()


@Action(description="Uses some for a while", memory="64MB")
def is_small(mb: int) -> int:
    held = bytearray(mb * 1024 * 1024)
    time.sleep(0.4)
    return os.getpid()


@Action(description="Has little room where others have left much")
def calls_small() -> list[int]:
    return [leak(150), is_small(32), is_small(32), leak(1), is_small(32)]


@Action(description="Uses too much where others have left much")
def calls_too_large() -> str:
    leak(150)
    try:
        is_small(80)
    except ActionError as error:
        return error.code
    return "it may"


@Action(description="Calls an action again and again")
def calls(action: str, times: int, **arguments: int) -> list[int]:
    return [globals()[action](**arguments) for _ in range(times)]


@Action(description="Calls both in turn")
def mixes() -> list[list[int]]:
    both = [(where(), alone()) for _ in range(4)]
    return [list(pids) for pids in zip(*both)]


@Action(description="Ends the process of the last call while that has nothing to do")
def calls_and_kills() -> list[int]:
    first = where()
    os.kill(first, signal.SIGKILL)
    while Path(f"/proc/{first}").exists():
        time.sleep(0.01)
    return [first, where()]


@Action(description="Lets the process of a call wait for longer than it may")
def calls_and_waits() -> list[int]:
    first = where()
    while Path(f"/proc/{first}").exists():
        time.sleep(0.05)
    return [first, where()]


def open_files(process: int) -> int:
    return len(list(Path(f"/proc/{process}/fd").iterdir()))


@Action(description="How many descriptors and threads of the program, and of the zygote, are added by 60 processes")
def adds() -> list[int]:
    zygote = os.getppid()
    program = int(Path(f"/proc/{zygote}/stat").read_text().rpartition(")")[2].split()[1])

    def counts():
        threads = len(list(Path(f"/proc/{program}/task").iterdir()))
        return [open_files(program), open_files(zygote), threads]

    calls.local("alone", 5)
    before = counts()
    calls.local("alone", 60)
    return [after - one for one, after in zip(before, counts())]


@Action(description="Fails, and says from which process it was made", retries=2)
def fails() -> None:
    memory.add("zygote", os.getppid())
    memory.add("zygotes", (memory.get("zygotes") or []) + [os.getppid()])
    raise ValueError("again")


@Action(description="Succeeds at the second attempt", retries=1)
def second_time_lucky() -> str:
    if memory.get("was here") is None:
        memory.add("was here", True)
        raise ValueError("again")
    return "lucky"
"""


@pytest.fixture
def project(ziet: Ziet) -> Project:
    return ziet.write({"actions.py": ACTIONS})


def calls(project: Project, action: str, times: int, *arguments: str, **environment: str) -> list[int]:
    given = [f"action={action}", f"times={times}", *arguments]
    parameters = [part for one in given for part in ("-p", one)]
    done = project.run("calls", *parameters, "--json", **environment)
    assert done.status == 0, done
    return done.document["output"]


def test_attempts_share_a_process(project: Project) -> None:
    assert len(set(calls(project, "where", 20))) == 1


def test_processors_are_shared_with_all_executors_as_one(project: Project) -> None:
    shares = project.run("shares", "--json").document["output"]

    assert shares == {"session": True, "group": True, "nice": 10, "autogroup": ["nice", "10"]}


def test_an_attempt_of_its_own_has_a_fresh_process(project: Project) -> None:
    assert len(set(calls(project, "alone", 10))) == 10


def test_an_attempt_of_its_own_shares_its_process_with_none_before_and_none_after(project: Project) -> None:
    done = project.run("mixes", "--json")

    shared, alone = done.document["output"]
    assert len(set(shared)) == 1
    assert len({*shared, *alone}) == 1 + len(alone)


def test_a_process_is_replaced_after_so_many_attempts(project: Project) -> None:
    pids = calls(project, "where", 7, ZIET_EXECUTOR_ATTEMPTS="3")

    assert [len(set(pids[start : start + 3])) for start in (0, 3, 6)] == [1, 1, 1]
    assert len(set(pids)) == 3


def test_a_process_that_has_grown_is_replaced(project: Project) -> None:
    pids = calls(project, "leak", 6, "mb=20", ZIET_EXECUTOR_GROWTH="50")

    assert [len(set(pids[start : start + 3])) for start in (0, 3)] == [1, 1]
    assert len(set(pids)) == 2


def test_memory_that_was_given_back_does_not_count(project: Project) -> None:
    assert len(set(calls(project, "use", 4, "mb=200", ZIET_EXECUTOR_GROWTH="50"))) == 1


def test_what_earlier_attempts_have_left_is_not_charged_to_the_next(project: Project) -> None:
    done = project.run("calls_small", "--json", ZIET_EXECUTOR_GROWTH="500")

    assert done.status == 0, done
    assert len(set(done.document["output"])) == 1


def test_the_limit_of_memory_holds_where_earlier_attempts_have_left_much(project: Project) -> None:
    done = project.run("calls_too_large", "--json", ZIET_EXECUTOR_GROWTH="500")

    assert done.document["output"] == "out_of_memory", done


def test_a_process_that_died_while_it_was_idle_is_replaced_silently(project: Project) -> None:
    done = project.run("calls_and_kills", "--json")

    first, second = done.document["output"]
    assert first != second
    assert not done.said("[WARN]")


def test_a_process_without_work_is_ended(project: Project) -> None:
    done = project.run("calls_and_waits", "--json", ZIET_EXECUTOR_IDLE="1")

    first, second = done.document["output"]
    assert first != second
    assert not done.said("[WARN]")


def test_processes_leave_nothing_in_those_that_live_on(project: Project) -> None:
    done = project.run("adds", "--json")

    descriptors, of_the_zygote, threads = done.document["output"]
    # An executor that has served stays registered until its exit is told, which may be after the next one is there.
    assert -20 <= descriptors <= 20, "each executor has four"
    assert of_the_zygote <= 0
    assert threads <= 1, "the one that watches"


def test_the_zygote_ends_without_work_and_is_started_again(project: Project) -> None:
    done = project.run("fails", "--json", ZIET_EXECUTOR_IDLE="1")

    zygotes = done.document["memory"]["zygotes"]
    assert len(zygotes) == 3
    # After 2 s the second attempt may come just in time; 4 s are longer than both may be idle together.
    assert zygotes[1] != zygotes[2]
    assert not done.said("the process that imported the project ended")
    assert [attempt["outcome"] for attempt in done.document["attempts"]] == ["failed"] * 3


def between_attempts(running: Running) -> psutil.Process:
    """The zygote, while the run waits for its second attempt."""
    running.until("Retrying in 2s")
    return psutil.Process(running.pid).children()[0]


def test_a_zygote_that_dies_between_attempts_costs_none(project: Project) -> None:
    running = project.start("run", "--local", "action", "second_time_lucky")
    between_attempts(running).kill()
    done = running.finish()

    assert done.status == 0, done
    assert done.said("[WARN]")[1:] == ["[WARN] the process that imported the project ended (SIGKILL)"]


def changed(project: Project, text: str) -> Result:
    """A run whose project is another one by the time of its second attempt."""
    running = project.start("run", "--local", "action", "second_time_lucky", "--json")
    err = Path(running._err)
    while "Retrying in 2s" not in err.read_text("utf-8"):
        assert running.process.poll() is None
    (project.folder / "actions.py").write_text(text, "utf-8")
    psutil.Process(running.pid).children()[0].send_signal(signal.SIGKILL)
    return running.finish()


def last_error(done: Result) -> dict[str, Any]:
    run = done.document
    assert (done.status, run["status"]) == (1, "failed"), done
    assert [attempt["outcome"] for attempt in run["attempts"]] == ["failed"] * 2
    assert run["attempts"][1]["error"] == run["error"]
    return run["error"]


def test_a_project_that_does_not_import_any_more_fails_what_waits(project: Project) -> None:
    imports = project.folder / "imports"
    done = changed(
        project,
        "import os, sys\n"
        "from ziet import Action\n"
        f"open({str(imports)!r}, 'a').write('x')\n"
        "print('no way', file=sys.stderr, flush=True)\n"
        "os._exit(7)\n",
    )

    error = last_error(done)
    assert (error["code"], error["type"]) == ("import_failed", "ImportFailed")
    assert error["message"].endswith("ended (exit status 7) while it imported the project")
    assert error["traceback"] == "no way"
    assert imports.read_text() == "x", "it is not tried again and again"


def test_a_module_that_does_not_import_any_more_fails_its_actions(project: Project) -> None:
    done = changed(project, "from ziet import Action\n1 / 0\n")

    error = last_error(done)
    assert error["code"] == "import_failed"
    assert error["message"] == (
        "module actions does not import, so its actions are missing: ZeroDivisionError: division by zero"
    )
    assert error["traceback"].endswith("ZeroDivisionError: division by zero")


def test_an_action_that_is_gone_is_unknown(project: Project) -> None:
    done = changed(project, "from ziet import Action\n")

    error = last_error(done)
    assert error["code"] == "unknown_action"
    assert error["message"] == "the project has no action actions.second_time_lucky any more"


def test_what_comes_after_a_crash_has_a_new_process_and_what_was_there_goes_on(ziet: Ziet) -> None:
    project = ziet.write(
        {
            "actions.py": """
import os
from ziet import Action, ActionError


@Action(description="Dies")
def dies() -> None:
    os._exit(3)


@Action(description="Says in which process it is")
def where() -> int:
    return os.getpid()


@Action(description="Goes on after a crash")
def goes_on() -> list[int]:
    first = where()
    try:
        dies()
    except ActionError as error:
        assert error.code == "crashed"
    return [first, where()]
"""
        }
    )
    done = project.run("goes_on", "--json")

    first, second = done.document["output"]
    assert done.status == 0
    assert first != second


def test_processes_come_as_runs_wait_for_them(ziet: Ziet) -> None:
    project = ziet.write(
        {
            "actions.py": """
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from ziet import Action


@Action(description="Takes a while")
def waits() -> int:
    time.sleep(0.3)
    return os.getpid()


@Action(description="Calls many at once")
def fans_out(times: int) -> list[int]:
    with ThreadPoolExecutor(times) as threads:
        return list(threads.map(lambda _: waits(), range(times)))
"""
        }
    )
    done = project.run("fans_out", "-p", "times=12", "--concurrency", "3", "--json")

    assert len(set(done.document["output"])) == 3


SPOILS = """
from pathlib import Path
from ziet import Action, ActionError

spoiled = Path(__file__).with_name("spoiled")
if spoiled.exists():
    1 / 0


@Action(description="Is never executed")
def never() -> None: ...


@Action(description="Spoils the import of the next process")
def spoils() -> list[str]:
    spoiled.touch()
    told = []
    for _ in range(2):
        try:
            never()
        except ActionError as error:
            told.append(error.code)
    return told
"""


def test_a_fresh_interpreter_that_does_not_import_fails_what_waits_at_once(ziet: Ziet) -> None:
    done = ziet.write({"actions.py": SPOILS}).run("spoils", "--json", ZIET_START="spawn")

    assert done.document["output"] == ["import_failed"] * 2
    assert done.said("ZeroDivisionError: division by zero")


def test_fresh_interpreters_are_kept_like_forked_processes(project: Project) -> None:
    assert len(set(calls(project, "where", 5, ZIET_START="spawn"))) == 1


def test_processes_that_never_get_ready_are_given_up(ziet: Ziet) -> None:
    actions = """
import os
from ziet import Action

os.register_at_fork(after_in_child=lambda: os._exit(9))


@Action(description="Is never executed")
def never() -> None: ...
"""
    done = ziet.write({"actions.py": actions}).run("never", "--json")

    assert (done.status, done.document["error"]["code"]) == (1, "import_failed")
    assert done.document["error"]["message"] == ("the processes of actions end before they can be used (exit status 9)")
    told = "[WARN] no process for the attempt: it ended before it could be used (exit status 9); trying again in 1 s"
    assert done.said("no process") == [told] * 4


NO_MORE = """
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from ziet import Action

spoiled = Path(__file__).with_name("spoiled")
os.register_at_fork(after_in_child=lambda: spoiled.exists() and os._exit(9))


@Action(description="Tells its process")
def where() -> int:
    return os.getpid()


@Action(description="Tells its process, which is its own", isolation="attempt")
def alone() -> int:
    return os.getpid()


@Action(description="Calls many at once when no process can be made any more", timeout=60)
def calls_many(times: int) -> list[int]:
    first = where()
    spoiled.touch()
    with ThreadPoolExecutor(times) as threads:
        return [first, *threads.map(lambda _: where(), range(times))]


@Action(description="Calls others while one waits for a process of its own", timeout=60)
def calls_others(times: int) -> list[int]:
    first = where()
    spoiled.touch()
    with ThreadPoolExecutor() as threads:
        waits = threads.submit(alone)
        others = [where() for _ in range(times)]
        assert not waits.done()
        spoiled.unlink()
        assert waits.result() != first
        return [first, *others]
"""


def test_what_cannot_be_made_for_many_at_once_does_not_fail_those_an_idle_process_serves(ziet: Ziet) -> None:
    project = ziet.write({"actions.py": NO_MORE})
    done = project.run("calls_many", "-p", "times=8", "--concurrency", "20", "--json")

    assert done.status == 0, done.err
    assert len(set(done.document["output"])) == 1


def test_one_that_waits_for_a_process_of_its_own_does_not_stop_those_that_share(ziet: Ziet) -> None:
    project = ziet.write({"actions.py": NO_MORE})
    done = project.run("calls_others", "-p", "times=20", "--concurrency", "20", "--json")

    assert done.status == 0, done.err
    assert len(set(done.document["output"])) == 1


def test_files_over_the_limit_of_the_scratch_directory_end_the_attempt(ziet: Ziet) -> None:
    actions = """
import time
from pathlib import Path
from ziet import Action


@Action(description="Writes two files that are too large together, and waits to be found out")
def writes() -> None:
    for name in ("first", "second"):
        with Path(name).open("wb") as file:
            for _ in range(300):
                file.write(bytes(1024 * 1024))
    time.sleep(30)
"""
    done = ziet.write({"actions.py": actions}).run("writes", "--sandbox", "on", "--json")

    error = done.document["error"]
    assert (error["code"], error["type"]) == ("scratch_full", "ScratchFull")
    assert error["message"].endswith(" MB, limit 512 MB")
