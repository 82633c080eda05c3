"""What a run prints, to the letter."""

from __future__ import annotations

import json
import re

import pytest

from program import REPOSITORY, Ziet, masked

ENTRY = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def with_one_id(out: str) -> str:
    """The output with the id of an entry as ENTRY."""
    assert len({match[0] for match in ENTRY.finditer(out)}) == 1
    return ENTRY.sub("ENTRY", out)


def test_every_line_of_memory(ziet: Ziet) -> None:
    done = ziet.project("lines").run("remembers")

    assert done.status == 0
    assert with_one_id(masked(done.out)) == (
        "🧪 Running action locally: remembers\n"
        "\n"
        "[INFO] Starting local run...\n"
        "[INFO] Action remembers initialized\n"
        "[INFO] Action executing...\n"
        "[INFO] Memory added: key=a, value=1\n"
        '[INFO] Memory added: key=a, value={"text": "two words"}\n'
        "[INFO] Memory added: key=b, value=null\n"
        "[INFO] Memory read: key=a, found\n"
        "[INFO] Memory read: key=nothing, missing\n"
        "[INFO] Memory searched: query=WORDS two, 1 found\n"
        "[INFO] Memory searched: 1 found\n"
        "[INFO] Memory searched: query=nowhere, 0 found\n"
        "[INFO] Memory removed: entry_id=ENTRY, 1 entry\n"
        "[INFO] Memory removed: key=nothing, 0 entries\n"
        '[INFO] Memory added: key=entry, value="ENTRY"\n'
        "[INFO] Memory removed: key=b, 1 entry\n"
        '[INFO] Action remembers returned "done"\n'
        "[INFO] Action remembers completed in 0.05s\n"
        "✅ Local run completed\n"
        "\n"
        'Result stored in memory: {"a": 1, "entry": "ENTRY"}\n'
    )


def test_a_failed_run_shows_its_stack_then_the_wait(ziet: Ziet) -> None:
    done = ziet.project("lines").run("lines.fails_twice", "--no-backoff")

    file = REPOSITORY / "tests/projects/lines/lines.py"
    line = file.read_text("utf-8").splitlines().index('    raise LookupError(f"no {secret}")') + 1
    error = (
        "[ERROR] Action lines.fails_twice failed: LookupError: no x\n"
        f'  File "{file}", line {line}, in fails_twice\n'
        '    raise LookupError(f"no {secret}")\n'
    )
    traceback = "".join(["Traceback (most recent call last):\n", *error.splitlines(keepends=True)[1:]])
    recorded = {
        "type": "LookupError",
        "message": "no x",
        "traceback": f"{traceback}LookupError: no x",
        "attempt": 2,
        "max_attempts": 2,
        "will_retry": False,
    }
    assert done.status == 1
    assert done.out == (
        "🧪 Running action locally: lines.fails_twice\n"
        "\n"
        "[INFO] Starting local run...\n"
        "[INFO] Action lines.fails_twice initialized\n"
        "[INFO] Action executing...\n"
        "[INFO] Memory added: key=tried, value=true\n"
        f"{error}"
        "[WARN] Retrying in 0s (attempt 2 of 2)\n"
        "[INFO] Action executing...\n"
        "[INFO] Memory added: key=tried, value=true\n"
        f"{error}"
        "❌ Local run failed\n"
        "\n"
        f"Result stored in memory: {json.dumps({'tried': True, 'lines.fails_twice.error': recorded})}\n"
    )


def test_the_wait_before_a_retry_is_told(ziet: Ziet) -> None:
    done = ziet.project("lines").run("fails_twice")

    assert done.said("[WARN]") == ["[WARN] Retrying in 2s (attempt 2 of 2)"]


def test_a_run_that_stored_nothing_says_so(ziet: Ziet) -> None:
    done = ziet.project("lines").run("echo")

    assert done.out.endswith("✅ Local run completed\n\nResult stored in memory: {}\n")


def test_a_result_is_shown_unless_it_is_none(ziet: Ziet) -> None:
    lines = ziet.project("lines")

    assert lines.run("echo", "-p", 'value={"a": [1, 2.50, "é"]}').said("returned") == [
        '[INFO] Action echo returned {"a": [1, 2.5, "\\u00e9"]}'
    ]
    assert lines.run("echo", "-p", "value=false").said("returned") == ["[INFO] Action echo returned false"]
    assert lines.run("echo").said("returned") == []


def test_a_value_is_cut_at_200_characters_in_its_line_only(ziet: Ziet) -> None:
    lines = ziet.project("lines")

    short, long = lines.run("long_value", "-p", "length=33"), lines.run("long_value", "-p", "length=300")

    added = "[INFO] Memory added: key=long, value="
    assert short.said("Memory added") == [added + json.dumps("é" * 33)]
    assert long.said("Memory added") == [added + json.dumps("é" * 300)[:200] + "…"]
    assert long.said("returned") == ['[INFO] Action long_value returned "' + "x" * 199 + "…"]
    assert long.memory == {"long": "é" * 300}


@pytest.mark.parametrize(
    "value",
    [
        *[None, True, 0, -1, 2.5, 1e16, 1e-5, 1e300, 123456789012345678901234567890],
        *["", 'é ☃ 🧪 " \\ \n \t \x00 \x7f \u2028', [], {}, [[1], {"a": {}}], {"": 1, "é": 2}],
    ],
)
def test_the_last_line_is_what_json_dumps_writes(ziet: Ziet, value: object) -> None:
    done = ziet.project("lines").run("store", "--input", json.dumps({"key": "k", "value": value}))

    assert done.out.splitlines()[-1] == "Result stored in memory: " + json.dumps({"k": value})
    if value is not None and len(json.dumps(value)) <= 200:
        assert done.said("Memory added") == [f"[INFO] Memory added: key=k, value={json.dumps(value)}"]


def test_what_is_printed_and_logged_is_shown_in_order(ziet: Ziet) -> None:
    done = ziet.project("lines").run("prints")

    begin = done.lines.index("[INFO] Action executing...") + 1
    assert done.lines[begin:-4] == [
        "[INFO] one, printed",
        "[WARN] two, as an error",
        "[INFO] three, logged",
        "[WARN] four, a warning",
        "[ERROR] five, an error",
        "[INFO] six, by a child process",
        "[INFO] seven, printed",
        "[INFO] eight, in C",
        "[WARN] nine, an error of a child process",
        "[INFO] ten",
        "[INFO] eleven, written",
        "[INFO] two",
        "[INFO] lines",
        "[INFO] no end of line",
    ]
    assert done.err == ""


def test_what_goes_different_ways_stays_in_order(ziet: Ziet) -> None:
    done = ziet.project("lines").run("alternates")

    shown = [line for line in done.lines if "number" in line]
    assert shown == [f"[INFO] number {number}" for number in range(1000)]


def test_a_key_with_an_end_of_line_stays_in_its_line(ziet: Ziet) -> None:
    done = ziet.project("lines").run("store", "--input", json.dumps({"key": "a\n[ERROR] not true", "value": 1}))

    assert done.said("[ERROR] not true") == done.said("Memory added") + done.said("Result stored")


def test_odd_output_does_no_harm(ziet: Ziet) -> None:
    done = ziet.project("lines").run("prints_oddly")

    begin = done.lines.index("[INFO] Action executing...") + 1
    odd, long = done.lines[begin : begin + 4], done.lines[begin + 4 : -4]
    assert odd == [
        "[INFO] \\udc80 half a character",
        "[INFO] \\xff no character",
        "[INFO] é ☃ 🧪",
        "[INFO] ",
    ]
    [cut] = [line.removeprefix("[INFO] ") for line in long]
    assert (len(cut), cut.lstrip("y")) == (16 * 1024, " ... [line of 200,000 bytes cut]")


def test_a_logged_exception_has_its_traceback(ziet: Ziet) -> None:
    done = ziet.project("lines").run("logs_an_exception")

    errors = done.said("[ERROR]")
    assert errors[:2] == ["[ERROR] it went wrong", "[ERROR] Traceback (most recent call last):"]
    assert errors[-1] == "[ERROR] ValueError: on the way"


def test_json_puts_one_document_on_standard_output_and_the_lines_on_standard_error(ziet: Ziet) -> None:
    arguments = ("long_value", "-p", "length=300")
    plain, documented = (ziet.project("lines").run(*arguments, *options) for options in ([], ["--json"]))

    assert documented.status == 0
    assert masked(documented.err) == masked(plain.out)
    assert documented.document["status"] == "completed"


def test_without_emoji(ziet: Ziet) -> None:
    lines = ziet.project("lines")

    completed, failed = lines.run("echo", "--ascii"), lines.run("fails_twice", "--ascii", "--no-backoff")

    assert completed.out.startswith("Running action locally: echo\n\n[INFO] Starting local run...\n")
    assert completed.out.endswith("[OK] Local run completed\n\nResult stored in memory: {}\n")
    assert failed.lines[-3] == "[FAILED] Local run failed"
    assert completed.out.isascii()
    assert failed.out.isascii()


def test_logging_is_captured_when_the_action_imports_it_first(ziet: Ziet) -> None:
    actions = """
from ziet import Action

@Action(description="Logs")
def logs():
    print("before")
    import logging
    logging.info("an info")
    logging.getLogger("deep.down").error("an error")
    print("after")
"""
    done = ziet.write({"actions.py": actions}).run("logs")
    begin = done.lines.index("[INFO] before")
    assert done.lines[begin : begin + 4] == ["[INFO] before", "[INFO] an info", "[ERROR] an error", "[INFO] after"]


NESTED = """
from ziet import Action
from ziet.integrations import google

@Action(description="Calls one that calls another", id="outer")
def outer():
    middle()
    google.search("outer")

@Action(description="Calls another, and is tried twice", id="middle", retries=1)
def middle():
    inner()
    google.search("middle")
    google.search("again")
    from pathlib import Path
    if not Path("tried").exists():
        Path("tried").touch()
        raise ValueError("first time")

@Action(description="Does nothing", id="inner")
def inner():
    google.search("inner")
"""


def test_lines_that_do_not_name_their_action_say_so_where_it_changes(ziet: Ziet) -> None:
    done = ziet.write({"actions.py": NESTED}).run("outer", "--no-backoff")

    assert [line for line in done.lines if "called" in line or "executing" in line or "Retrying" in line] == [
        "[INFO] Action executing...",
        "[INFO] Action executing...",
        "[INFO] Action executing...",
        '[INFO] Integration called (mocked): google.search("inner")',
        '[INFO] Integration called (mocked): google.search("middle") [middle]',
        '[INFO] Integration called (mocked): google.search("again")',
        "[WARN] Retrying in 0s (attempt 2 of 2)",
        "[INFO] Action executing...",
        "[INFO] Action executing...",
        '[INFO] Integration called (mocked): google.search("inner")',
        '[INFO] Integration called (mocked): google.search("middle") [middle]',
        '[INFO] Integration called (mocked): google.search("again")',
        '[INFO] Integration called (mocked): google.search("outer")',
    ]


def test_nothing_printed_steers_a_terminal(ziet: Ziet) -> None:
    actions = r"""
import logging, os, sys
from ziet import Action

EVIL = "\x1b]0;owned\x07\x1b[2J\x1b[1Afake\r[INFO] line\u202e\x9b2J"

@Action(description="Prints what steers terminals")
def evil() -> None:
    print("out " + EVIL + " \x1b[31mred")
    print("err " + EVIL, file=sys.stderr)
    logging.error("log " + EVIL)
    os.write(1, ("raw " + EVIL + "\n").encode())
"""
    running, _ = ziet.write({"actions.py": actions}).start_in_terminal(
        "run", "--local", "action", "evil", "--color=always"
    )
    done = running.finish()

    spelled = r"\x1b]0;owned\x07\x1b[2J\x1b[1Afake\r[INFO] line\u202e\x9b2J"
    lines = [line.rstrip("\r") for line in done.out.split("\n")]
    for each in ("out", "err", "log", "raw"):
        assert [line for line in lines if f"{each} {spelled}" in line], lines
    assert [line for line in lines if line.endswith(" \x1b[31mred\x1b[0m")]
