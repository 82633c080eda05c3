"""Every way to end, and what it must become."""

from __future__ import annotations

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


COMPLETES: dict[str, Any] = {
    "ok": "fine",
    "daemon_and_return": "left it",
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
    "raises_hopeless": fails("endings.HopelessError", "not again", 'raise HopelessError("not again")'),
    "recurses": fails("RecursionError", "maximum recursion depth exceeded", "recurses.local()"),
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
    "kill_itself": crashes("the process died: SIGKILL"),
    "terminate_itself": crashes("the process died: SIGTERM"),
    "close_descriptors": crashes("it closed its connection to Ziet"),
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
    "flood": times_out('print("x" * 100)'),
    "store_and_spin": times_out("while True:", "pass"),
}

LOST = {"kill_zygote"}
RETRIED = {"second_time_lucky"}


def test_every_ending_is_in_a_table(ziet: Ziet) -> None:
    listed = {action["function"] for action in ziet.project("endings").actions()}
    assert listed == {*COMPLETES, *FAILS, *LOST, *RETRIED}


@pytest.mark.parametrize("action", COMPLETES)
def test_completes(ziet: Ziet, action: str) -> None:
    done = ziet.project("endings").run(action, "--json")

    run = done.document
    assert (done.status, run["status"], run["output"], run["error"]) == (0, "completed", COMPLETES[action], None)
    assert [attempt["outcome"] for attempt in run["attempts"]] == ["completed"]
    assert seconds(run) < 5


@pytest.mark.parametrize("action", FAILS)
def test_fails(ziet: Ziet, action: str, record_property: Any) -> None:
    ends = FAILS[action]

    done = run_until_its_stack_comes(ziet.project("endings"), action)

    run = done.document
    [attempt] = run["attempts"]
    assert (done.status, run["status"], run["output"]) == (1, "failed", None)
    assert attempt["outcome"] == ends.outcome
    assert attempt["error"] == run["error"]
    assert {name: run["error"][name] for name in ("type", "message", "code")} == {
        "type": ends.type,
        "message": ends.message,
        "code": ends.code,
    }
    check_stack(run["error"], action, ends)
    noted = run["memory"][f"endings.{action}.error"]
    assert noted["message"] == ends.message
    assert (noted["attempt"], noted["will_retry"]) == (1, False)
    if ends.outcome == "timed_out":
        lateness = seconds(attempt) - 1
        record_property(LATENESS, lateness)
        assert 0 <= lateness < 1


def run_until_its_stack_comes(project: Project, action: str) -> Result:
    """On a machine with much else to do a stack may take longer than it is waited for; that must not be the rule."""
    for _ in range(3):
        done = project.run(action, "--json", "--no-backoff")
        if not FAILS[action].lines or "The stack is not known" not in done.out:
            return done
    raise AssertionError("the stack did not come, three times in a row")


def check_stack(error: dict[str, Any], action: str, ends: Ends) -> None:
    traceback = error["traceback"] or ""
    assert traceback.rpartition("\n")[2].startswith(ends.type if traceback else "")
    if ends.lines:
        own = [frame for frame in error["frames"] if frame["user"]]
        assert own[0]["function"] == action
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
