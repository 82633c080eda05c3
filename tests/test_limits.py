"""Limits of size and of what memory takes, and input that is wrong."""

from __future__ import annotations

import json

import pytest

from program import Project, Ziet

MB = 1024 * 1024

LIMITS = """
import time
from pathlib import Path
import os
from ziet import Action, memory

MB = 1024 * 1024

@Action(description="Takes and returns a text", retries=2)
def echo(text: str, fail: bool = False) -> str:
    return text

@Action(description="Returns JSON of a size")
def returns(size: int) -> str:
    return "x" * (size - 2)

@Action(description="Stores JSON of a size", retries=2)
def stores(size: int) -> None:
    memory.add("big", "x" * (size - 2))

@Action(description="Stores what is not allowed", retries=2)
def stores_wrongly(what: str) -> None:
    key, value = {
        "nan": ("k", {"a": float("nan")}),
        "object": ("k", [object()]),
        "own error": ("limits.echo.error", 1),
        "any error": ("other.error", 1),
        "empty key": ("", 1),
        "long key": ("k" * 513, 1),
    }[what]
    memory.add(key, value)

@Action(description="Fills the memory, and makes room again")
def fills() -> list[str]:
    for number in range(25):
        memory.add(f"k{number}", "x" * (4 * MB - 100))
    told = []
    for _ in range(2):
        try:
            memory.add("one more", "x" * 10_000)
            told.append("it went in")
        except ValueError as error:
            told.append(str(error))
        memory.remove(key="k0")
    for number in range(25):
        memory.remove(key=f"k{number}")
    return told

@Action(description="Gets back as much as may be in memory")
def searches() -> int:
    for number in range(2):
        memory.add(f"k{number}", "x" * (6 * MB - 2))
    return sum(len(entry.value) for entry in memory.search()) + len(memory.get("k0"))

@Action(description="Calls with and returns as much as may be")
def calls(size: int) -> int:
    return len(echo("x" * size))

@Action(description="Takes a point", retries=3)
def place(x: int, y: float, *, label: str, tags: list[str] = []) -> None:
    Path(os.environ["SCRATCH"], "executed").touch()

@Action(description="Sleeps by its timeout", timeout=900, retries=100)
def patient() -> None:
    pass
"""


@pytest.fixture
def limits(ziet: Ziet) -> Project:
    return ziet.write({"limits.py": LIMITS})


def text_input(size: int) -> str:
    """A JSON input of that many bytes."""
    empty = len(json.dumps({"text": ""}, separators=(",", ":")))
    return json.dumps({"text": "x" * (size - empty)}, separators=(",", ":"))


def test_6_mb_go_in_and_out(limits: Project) -> None:
    given = limits.run("echo", "--input", "-", "--json", stdin=text_input(6 * MB))
    returned = limits.run("returns", "-p", f"size={6 * MB}", "--json")
    stored = limits.run("stores", "-p", f"size={6 * MB}", "--json")

    assert [done.status for done in (given, returned, stored)] == [0, 0, 0]
    assert len(given.document["output"]) == 6 * MB - len('{"text":""}')
    assert len(returned.document["output"]) == 6 * MB - 2
    assert len(stored.document["memory"]["big"]) == 6 * MB - 2


@pytest.mark.parametrize(("size", "told"), [(7 * MB, "7.0 MB"), (6 * MB + 1, "6.000001 MB")])
def test_more_than_6_mb_is_told(limits: Project, size: int, told: str) -> None:
    given = limits.run("echo", "--input", "-", stdin=text_input(size))
    returned = limits.run("returns", "-p", f"size={size}")
    stored = limits.run("stores", "-p", f"size={size}", "--json")

    assert (given.status, given.err) == (2, f"error: an input of {told}, limit 6 MB\n")
    assert returned.status == 1
    assert returned.said("[ERROR]") == [
        f"[ERROR] Action returns failed: ziet.OutputError: limits.returns returned {told}, limit 6 MB"
    ]
    run = stored.document
    assert (stored.status, len(run["attempts"])) == (1, 1)
    assert run["error"]["type"] == "ziet.MemoryValueError"
    assert run["error"]["message"] == f'memory key "big": the value is {told}, limit 6 MB'


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("nan", 'memory key "k": the value is not JSON: value.a is NaN'),
        ("object", 'memory key "k": the value is not JSON: value[0] is an object: use a dict or a dataclass instead'),
        ("own error", "memory key 'limits.echo.error' is kept for the errors of that action; use another key"),
        ("empty key", "a memory key must not be empty"),
        ("long key", "a memory key has 513 characters, at most 512 are allowed"),
    ],
)
def test_what_memory_does_not_take(limits: Project, what: str, told: str) -> None:
    run = limits.run("stores_wrongly", "-p", f"what={what}", "--json").document

    error = run["error"]
    assert (error["type"], error["message"], error["code"]) == ("ziet.MemoryValueError", told, "invalid_memory")
    assert len(run["attempts"]) == 1, "it cannot get better"


def test_other_keys_may_end_in_error(limits: Project) -> None:
    assert limits.run("stores_wrongly", "-p", "what=any error").memory == {"other.error": 1}


def test_a_memory_holds_100_mb(limits: Project) -> None:
    run = limits.run("fills", "--json").document

    assert run["output"] == ["the memory would hold 100.01 MB, limit 100 MB", "it went in"]
    assert list(run["memory"]) == ["one more"]


def test_large_entries_are_found(limits: Project) -> None:
    assert limits.run("searches", "--json").document["output"] == 3 * (6 * MB - 2)


def test_6_mb_travel_to_a_child_and_back(limits: Project) -> None:
    size = 6 * MB - len('{"text":""}')

    assert limits.run("calls", "-p", f"size={size}", "--json").document["output"] == size


def test_an_argument_over_6_mb_is_told(limits: Project) -> None:
    run = limits.run("calls", "-p", f"size={7 * MB - 11}", "--json").document

    assert run["error"]["type"] == "ziet.InputError"
    assert run["error"]["message"] == "wrong input for limits.echo: 7.0 MB, limit 6 MB"


def test_all_that_is_wrong_with_an_input_is_told_together(limits: Project, ziet: Ziet) -> None:
    wrong = {"x": 1.5, "y": "north", "tags": ["a", 2], "lable": "here"}

    done = limits.run("place", "--input", json.dumps(wrong), "--no-backoff")

    assert done.status == 2
    begin = done.lines.index("[INFO] Action place initialized")
    assert done.lines[begin:] == [
        "[INFO] Action place initialized",
        "[INFO] Action executing...",
        "[ERROR] Action place failed: ziet.InputError: wrong input for limits.place:",
        "  x: expected int, got 1.5 (float)",
        '  y: expected float, got "north" (str)',
        "  label: missing, expected str",
        "  tags[1]: expected str, got 2 (int)",
        "  lable: unknown parameter, did you mean label?",
        "❌ Local run failed",
        "",
        "Result stored in memory: {}",
    ]
    assert not (ziet.scratch / "executed").exists()


def test_wrong_input_is_not_retried(limits: Project) -> None:
    done = limits.run("place", "-p", "x=1", "--json")

    run = done.document
    assert (done.status, run["status"]) == (2, "failed")
    assert (run["error"]["type"], run["error"]["code"]) == ("ziet.InputError", "invalid_input")
    assert len(run["attempts"]) == 1
    assert run["memory"] == {}


def test_the_longest_timeout_and_the_most_retries(limits: Project) -> None:
    patient = next(action for action in limits.actions() if action["function"] == "patient")

    assert (patient["timeout"], patient["retries"]) == (900, 100)
    assert limits.run("patient").status == 0


SPAWNS = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from ziet import Action, memory

def add(number):
    memory.add("number", number)

@Action(description="Adds to memory in a process of its own")
def adds(start: str):
    context = multiprocessing.get_context(start)
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        pool.submit(add, 1).result()

@Action(description="Removes what is not there")
def removes() -> int:
    return memory.remove(entry_id="nothing")
"""


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_child_process_does_not_lose_what_it_adds_to_memory(ziet: Ziet, start: str) -> None:
    done = ziet.write({"actions.py": SPAWNS}).run("adds", "-p", f"start={start}")
    assert done.status == 1
    assert done.said("only the process of the action itself can use memory")


def test_what_is_no_id_is_that_of_no_entry(ziet: Ziet) -> None:
    done = ziet.write({"actions.py": SPAWNS}).run("removes")
    assert done.status == 0
    assert done.said("[INFO] Memory removed: entry_id=nothing, 0 entries")
    assert done.said("returned 0")


def test_what_is_wrong_with_parameters_is_told_together(ziet: Ziet) -> None:
    actions = """
from ziet import Action

@Action(description="Takes two")
def takes(amount: float, region: str) -> None: ...
"""
    done = ziet.write({"actions.py": actions}).run("takes", "-p", "amount=ten", "-p", "foo=1")
    assert done.status == 2
    told = "\n".join(done.lines)
    assert 'amount: expected float, got "ten" (str)' in told
    assert "region: missing, expected str" in told
    assert "foo: unknown parameter" in told
