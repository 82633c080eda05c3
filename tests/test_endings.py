"""Every way to end, and what it must become."""

from __future__ import annotations

import re
import sys
from typing import Any, NamedTuple

import pytest

from program import LATENESS, Project, Result, Ziet, seconds


class Ends(NamedTuple):
    outcome: str
    type: str
    message: str
    code: str
    lines: tuple[str, ...] = ()
    """The source line at which the code was, as the traceback shows it; several where it may be any of them."""


def fails(type: str, message: str, *lines: str) -> Ends:
    return Ends("failed", type, message, "exception", lines)


def returns_wrong(what: str) -> Ends:
    return Ends("failed", "ziet.OutputError", what, "invalid_output")


def times_out(*lines: str) -> Ends:
    return Ends("timed_out", "TimeoutError", "exceeded its timeout of 1 s", "timed_out", lines)


def crashes(how: str, *lines: str) -> Ends:
    return Ends("crashed", "ProcessDied", how, "crashed", lines)


def runs_out(message: str, *lines: str) -> Ends:
    return Ends("out_of_memory", "MemoryError", message, "out_of_memory", lines)


COMPLETES: dict[str, Any] = {
    "ok": "fine",
    "does_without": "did without",
    "daemon_and_return": "left it",
    "leave_child": "left it",
    "leave_daemon_thread": "left it",
    "leave_session": "left it",
    "leave_thread": "left it",
    "returns_twice": "the parent's",
    "prints_much": "printed it",
}

FAILS = {
    "raises": fails("ValueError", "on purpose", 'raise ValueError("on purpose")'),
    "raises_from": fails("RuntimeError", "on purpose", 'raise RuntimeError("on purpose") from error'),
    "raises_unprintable": fails(
        "endings.Unprintable", "<Unprintable.__str__ raised RuntimeError>", "raise Unprintable"
    ),
    "raises_leaving": fails("endings.LeavingError", "<LeavingError.__str__ raised SystemExit>", "raise LeavingError"),
    "raises_unpicklable": fails("endings.LockedError", "holds a lock", "raise LockedError"),
    "raises_hopeless": fails("endings.HopelessError", "not again", 'raise HopelessError("not again")'),
    "recurses": fails("RecursionError", "maximum recursion depth exceeded", "recurses.local()"),
    # Python counts calls of C code by itself since 3.12.
    "overflows_stack": fails("RecursionError", "maximum recursion depth exceeded", "return max([0], key=deeper)")
    if sys.version_info >= (3, 12)
    else crashes("the process died: SIGSEGV", "return max([0], key=deeper)"),
    "leave_child_and_fail": fails("ValueError", "on purpose", 'raise ValueError("on purpose")'),
    "sys_exit": fails("SystemExit", "3", "sys.exit(3)"),
    "sys_exit_zero": fails("SystemExit", "", "sys.exit()"),
    "keyboard_interrupt": fails("KeyboardInterrupt", "", "raise KeyboardInterrupt"),
    "reads_input": fails("EOFError", "EOF when reading a line", "return input()"),
    "returns_nan": returns_wrong("endings.returns_nan returned a value that is not JSON: result is NaN"),
    "returns_object": returns_wrong(
        "endings.returns_object returned a value that is not JSON: result.where[0] is an object: "
        "use a dict or a dataclass instead"
    ),
    "returns_itself": returns_wrong(
        "endings.returns_itself returned a value that is not JSON: result contains itself or is nested too deeply"
    ),
    "returns_7_mb": returns_wrong("endings.returns_7_mb returned 7.0 MB, limit 6 MB"),
    "os_exit": crashes("the process died: exit status 3"),
    "os_exit_zero": crashes("the process died: exit status 0"),
    "segfault": crashes("the process died: SIGSEGV", "ctypes.string_at(0)"),
    "abort": crashes("the process died: SIGABRT", "os.abort()"),
    "aborts_with_words": crashes("the process died: SIGABRT", "os.abort()"),
    "becomes_another": crashes("it closed its connection to Ziet"),
    "kill_itself": crashes("the process died: SIGKILL"),
    "terminate_itself": crashes("the process died: SIGTERM"),
    "close_descriptors": crashes("it closed its connection to Ziet"),
    "sends_garbage": crashes("it sent a message that is not understood"),
    "sends_half": crashes("it closed its connection to Ziet"),
    "sends_too_much": crashes("it sent a frame of 4294967295 bytes, limit 8388608"),
    "store_and_die": crashes("the process died: exit status 7"),
    "spin": times_out("while True:", "pass"),
    "sleep": times_out("time.sleep(LONG)"),
    "sleep_in_c": times_out("libc_with_gil.sleep(LONG)"),
    "backtrack": times_out('re.match(r"(a+)+$", "a" * 64 + "b")'),
    "swallow": times_out("time.sleep(0.01)"),
    "ignore_requests_to_end": times_out("time.sleep(LONG)"),
    "ignore_signals": times_out(),
    "stop_itself": times_out(),
    "child_process": times_out('subprocess.run(["sleep", str(LONG)], check=False)'),
    "daemon_and_hang": times_out("time.sleep(LONG)"),
    "forks_away": times_out("time.sleep(LONG)"),
    # With that much to do the stack may be late; the kill is not.
    "forks_tree": times_out(),
    "flood": times_out('print("x" * 100)'),
    "store_and_spin": times_out("while True:", "pass"),
    "hogs": runs_out("", "held.append(bytearray(MB))"),
    "hogs_at_once": runs_out("", "bytearray(100 * MB)"),
    "hogs_shared": runs_out("used NUMBER MB, limit 64 MB"),
    "hogs_in_children": runs_out("used NUMBER MB, limit 64 MB"),
}

LEFT = {
    "daemon_and_return": r"process \d+ \(.+\)",
    "leave_child": r"process \d+ \(sleep 600\)",
    "leave_child_and_fail": r"process \d+ \(sleep 600\)",
    "leave_daemon_thread": "thread sender",
    "leave_session": r"process \d+ \(sleep 600\)",
    "leave_thread": "thread sender",
}
"""What goes on after the return, as the run's output names it."""

# What differs from run to run, or from Python to Python.
MASKS = [
    (re.compile(r"used \d+(\.\d)? MB"), "used NUMBER MB"),
    (re.compile(r"(?<=^maximum recursion depth exceeded) .*"), ""),
]

MODES: dict[str, dict[str, str]] = {
    "sandbox": {"ZIET_SANDBOX": "on"},
    "spawn": {"ZIET_START": "spawn"},
    "attempt": {"ISOLATION": "attempt"},
}
"""The ways to execute an attempt besides the default one, as variables."""
# One of each kind: what comes out must not depend on how the process came into being.
IN_EACH_MODE = [
    *["ok", "leave_session", "leave_thread", "raises", "sys_exit", "os_exit", "segfault", "aborts_with_words"],
    *["close_descriptors", "sends_garbage", "sleep_in_c", "ignore_signals", "daemon_and_hang", "forks_away"],
    *["hogs", "hogs_shared", "hogs_in_children", "returns_object", "flood"],
]

LOST = {"kill_zygote"}
RETRIED = {"second_time_lucky", "uses"}
MB = 1024 * 1024


def test_every_ending_is_in_a_table(ziet: Ziet) -> None:
    listed = {action["function"] for action in ziet.project("endings").actions()}
    assert listed == {*COMPLETES, *FAILS, *LOST, *RETRIED}


@pytest.mark.parametrize("action", COMPLETES)
def test_completes(ziet: Ziet, action: str) -> None:
    check_completed(ziet.project("endings").run(action, "--json"), action)


@pytest.mark.parametrize("action", FAILS)
def test_fails(ziet: Ziet, action: str, record_property: Any) -> None:
    late = check_failed(run_until_its_stack_comes(ziet.project("endings"), action), action)
    if late is not None:
        record_property(LATENESS, late)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("action", IN_EACH_MODE)
def test_ends_the_same_however_it_is_executed(ziet: Ziet, action: str, mode: str) -> None:
    done = run_until_its_stack_comes(ziet.project("endings"), action, **MODES[mode])
    if action in COMPLETES:
        check_completed(done, action)
    else:
        check_failed(done, action)


def check_completed(done: Result, action: str) -> None:
    run = done.document
    assert (done.status, run["status"], run["output"], run["error"]) == (0, "completed", COMPLETES[action], None)
    assert [attempt["outcome"] for attempt in run["attempts"]] == ["completed"]
    assert seconds(run) < 5
    check_left(done, action)


def check_failed(done: Result, action: str) -> float | None:
    """Whether it ended as the table says; gives how late that was, if it was to end at a certain time."""
    ends = FAILS[action]
    run = done.document
    [attempt] = run["attempts"]
    assert (done.status, run["status"], run["output"]) == (1, "failed", None)
    assert attempt["outcome"] == ends.outcome
    assert attempt["error"] == run["error"]
    error = run["error"]
    assert (error["type"], masked(error["message"]), error["code"]) == (ends.type, ends.message, ends.code)
    check_stack(error, action, ends)
    noted = run["memory"][f"endings.{action}.error"]
    assert noted["message"] == error["message"]
    assert (noted["attempt"], noted["will_retry"]) == (1, False)
    check_left(done, action)
    if ends.outcome != "timed_out":
        return None
    lateness = seconds(attempt) - 1
    assert 0 <= lateness < 1
    return lateness


def check_left(done: Result, action: str) -> None:
    """That what went on after the end is named, and nothing else."""
    told = [line.removeprefix("[WARN] left behind and ended: ") for line in done.said("left behind")]
    assert len(told) == (action in LEFT)
    assert all(re.fullmatch(LEFT[action], line) for line in told), told


def masked(message: str) -> str:
    for pattern, instead in MASKS:
        message = pattern.sub(instead, message)
    return message


def run_until_its_stack_comes(project: Project, action: str, **environment: str) -> Result:
    """On a machine with much else to do a stack may take longer than it is waited for; that must not be the rule."""
    for _ in range(3):
        done = project.run(action, "--json", "--no-backoff", **environment)
        if action in COMPLETES or not FAILS[action].lines or "The stack is not known" not in done.out:
            return done
    raise AssertionError("the stack did not come, three times in a row")


def check_stack(error: dict[str, Any], action: str, ends: Ends) -> None:
    traceback = error["traceback"] or ""
    assert traceback.rpartition("\n")[2].startswith(ends.type if traceback else "")
    if ends.lines:
        own = [frame for frame in error["frames"] if frame["user"]]
        # Of a stack that has overflowed only the newest calls are known.
        assert own[0]["function"] == ("deeper" if (action, ends.outcome) == ("overflows_stack", "crashed") else action)
        assert own[-1]["file"].endswith("/endings/endings.py")
        assert own[-1]["source"] in ends.lines
        assert f"    {own[-1]['source']}\n" in traceback
    assert "/ziet/_" not in traceback, "the SDK's own frames are nobody's business"


def test_a_lost_attempt_is_executed_again_until_the_fifth_in_a_row(ziet: Ziet) -> None:
    done = ziet.project("endings").run("kill_zygote", "--json")

    run = done.document
    assert (done.status, run["status"], run["error"]["code"]) == (1, "failed", "lost")
    assert [attempt["outcome"] for attempt in run["attempts"]] == ["lost"] * 5
    assert run["memory"] == {}


def test_the_last_words_of_a_process_that_died_are_kept(ziet: Ziet) -> None:
    error = ziet.project("endings").run("aborts_with_words", "--json").document["error"]

    assert error["notes"] == ["standard error ended with:\nfirst of all\nfree(): invalid pointer"]


def test_what_an_attempt_used_is_recorded(ziet: Ziet) -> None:
    [much, little] = ziet.project("endings").run("uses", "--json").document["attempts"]

    assert 300 <= much["cpu_ms"] < 3000
    assert little["cpu_ms"] < 200
    assert 100 * MB < much["peak_memory_bytes"] < 200 * MB
    assert 0 < little["peak_memory_bytes"] < 80 * MB


def test_what_child_processes_used_is_recorded(ziet: Ziet) -> None:
    source = """
import subprocess, sys
from ziet import Action

@Action(description="Has a child process use much")
def uses() -> None:
    subprocess.run([sys.executable, "-c", "import time; held = b'.' * 200_000_000; time.sleep(0.5)"], check=True)
"""
    [attempt] = ziet.write({"actions.py": source}).run("uses", "--json").document["attempts"]

    assert attempt["peak_memory_bytes"] > 200_000_000


def test_a_crash_is_retried(ziet: Ziet) -> None:
    done = ziet.project("endings").run("second_time_lucky", "--json", "--no-backoff")

    run = done.document
    assert (done.status, run["output"]) == (0, "lucky")
    assert [attempt["outcome"] for attempt in run["attempts"]] == ["crashed", "completed"]
    assert run["memory"]["endings.second_time_lucky.error"]["will_retry"] is True


@pytest.mark.parametrize(
    ("action", "stored"), [("store_and_spin", {"the": "kill"}), ("store_and_die", {"the": "crash"})]
)
def test_memory_written_before_the_end_is_kept(ziet: Ziet, action: str, stored: dict[str, str]) -> None:
    done = ziet.project("endings").run(action)

    assert done.status == 1
    assert done.memory["before"] == stored


def test_output_over_10_mb_is_dropped_and_told(ziet: Ziet) -> None:
    done = ziet.project("endings").run("prints_much")

    shown = sum(len(line.removeprefix("[INFO] ")) for line in done.said("[INFO] xxx"))
    assert 9 * 1024**2 < shown <= 10 * 1024**2
    assert done.said("output over 10 MB is dropped") == ["[WARN] output over 10 MB is dropped"]
    assert "[INFO] Action prints_much completed in" in done.out


SHARED = """
import mmap, signal, time
from ziet import Action

@Action(description="Has a little more than its limit, which Python does not count", memory="64MB")
def is_a_little_over() -> None:
    held = mmap.mmap(-1, 66 * 1024 * 1024)
    for _ in range(66):
        held.write(b"x" * 1024 * 1024)
    time.sleep(0.5)

@Action(description="Does not show its stack", timeout=1)
def hides() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))
    time.sleep(30)
"""


def test_an_attempt_is_not_ended_for_a_little_more_memory(ziet: Ziet) -> None:
    done = ziet.write({"actions.py": SHARED}).run("is_a_little_over", "--json", ZIET_WITHOUT="cgroup")
    [attempt] = done.document["attempts"]
    assert (done.status, attempt["peak_memory_bytes"] > 66 * 2**20) == (0, True), done


def test_why_there_is_no_stack_is_told(ziet: Ziet) -> None:
    done = ziet.write({"actions.py": SHARED}).run("hides")
    assert done.said("  Note: its stack is not known: it was not shown before the process was ended")
