"""A program and a package `ziet` of different versions: they work together where they have a protocol in common."""

from __future__ import annotations

import re
import shutil

import pytest
from inline_snapshot import snapshot

from program import PROGRAM, REPOSITORY, Result, Ziet

WIRE = (REPOSITORY / "python" / "ziet" / "_wire.py").read_text("utf-8")
PROTOCOL = int(re.findall(r"^PROTOCOL = (\d+)$", WIRE, re.MULTILINE)[0])

CALLS = """
from ziet import Action, memory

@Action(description="Calls another one", retries=0)
def outer(number: int) -> int:
    memory.add("called", number)
    return inner(number) + 1

@Action(description="Is called", retries=0)
def inner(number: int) -> int:
    return number * 2
"""


def run(ziet: Ziet, newest: int, oldest: str) -> Result:
    """A local run with a package that speaks these versions, found as one that is installed in the environment is."""
    sdk = ziet.scratch / "sdk"
    shutil.copytree(REPOSITORY / "python" / "ziet", sdk / "ziet", ignore=shutil.ignore_patterns("__pycache__"))
    told = re.sub(r"^(PROTOCOL) = .*$", rf"\1 = {newest}", WIRE, count=1, flags=re.MULTILINE)
    told = re.sub(r"^(OLDEST_PROTOCOL) = .*$", rf"\1 = {oldest}", told, count=1, flags=re.MULTILINE)
    (sdk / "ziet" / "_wire.py").write_text(told, "utf-8")
    # Beside the sources the debug program takes the package from there.
    program = ziet.scratch / "bin" / "ziet"
    program.parent.mkdir()
    shutil.copy2(PROGRAM, program)
    project = ziet.write({"actions.py": CALLS})
    project.program = program
    return project.run("outer", "-p", "number=4", PYTHONPATH=str(sdk))


@pytest.mark.parametrize(
    ("newest", "oldest"),
    [(PROTOCOL - 1, "None"), (PROTOCOL, "PROTOCOL - 1"), (PROTOCOL + 1, "PROTOCOL - 1")],
    ids=["the one before", "the same", "the one after"],
)
def test_a_package_that_is_a_version_off_executes(ziet: Ziet, newest: int, oldest: str) -> None:
    done = run(ziet, newest, oldest)

    assert done.status == 0, done
    assert "Action outer returned 9" in done.out


@pytest.mark.parametrize(("newest", "oldest"), [(PROTOCOL - 2, "None"), (PROTOCOL + 2, "PROTOCOL - 1")])
def test_one_that_is_further_off_is_refused(ziet: Ziet, newest: int, oldest: str) -> None:
    done = run(ziet, newest, oldest)

    assert done.status == 1, done
    assert f"speaks protocol {newest}, while this program speaks {PROTOCOL - 1} and {PROTOCOL}" in done.err
    assert "installs the program and its package" in done.err


def test_the_code_of_a_project_of_0_1_is_executed_as_it_stands(ziet: Ziet) -> None:
    done = ziet.project("of_0_1").run("everything", "-p", "number=4", "--json")

    assert done.status == 0, done
    assert done.document["output"] == snapshot(
        {
            "called": 8,
            "local": 8,
            "failed": ["KeyError", "'gone'", "exception", "actions.failing", True, True, True],
            "mocked": 4,
        }
    )
