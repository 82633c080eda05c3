"""Keeps the budgets of the Python code, and paths of one machine out of the repository.

The Rust code has the same test in crates/ziet-dev/tests/tidy.rs.
"""

import ast
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PYTHON_FOLDERS = ("python", "tests", "examples", "bench")

FILE_LINES = 600
FUNCTION_LINES = 60
TEST_FUNCTION_LINES = 100  # a test tells a story from top to bottom
NAMES_THAT_SAY_NOTHING = {"utils", "util", "common", "helpers", "helper", "manager", "imp", "types", "misc"}

# A file, or `file::function`, with the reason why it may be so.
EXCUSED: dict[str, str] = {}


def tracked_files() -> list[Path]:
    """Every file that is in git or would be with the next `git add`."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        check=False,
    )
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    files = (REPOSITORY / name for name in listing.stdout.decode().split("\0") if name)
    return sorted(file for file in files if file.is_file())


def python_files() -> list[Path]:
    return [
        file
        for file in tracked_files()
        if file.suffix == ".py" and file.relative_to(REPOSITORY).parts[0] in PYTHON_FOLDERS
    ]


def what_is_wrong(path: str, text: str) -> Iterator[tuple[str, str]]:
    """Each place that breaks a rule, in the form that EXCUSED has, with what to do about it."""
    lines = len(text.splitlines())
    if lines > FILE_LINES:
        yield path, f"has {lines} lines, at most {FILE_LINES}: it is about two things, split it by duty"
    for part in Path(path).with_suffix("").parts:
        if part.strip("_") in NAMES_THAT_SAY_NOTHING:
            yield path, f"`{part}` says nothing: name it after its duty"
    in_test = "tests" in Path(path).parts
    budget = TEST_FUNCTION_LINES if in_test else FUNCTION_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > budget:
                yield f"{path}::{node.name}", f"has {length} lines, at most {budget}: give its steps names of their own"


def test_files_and_functions_keep_their_budgets() -> None:
    found = [
        (place, advice)
        for file in python_files()
        for place, advice in what_is_wrong(file.relative_to(REPOSITORY).as_posix(), file.read_text("utf-8"))
    ]
    places = {place for place, _ in found}
    complaints = [f"{place} {advice}" for place, advice in found if place not in EXCUSED]
    complaints += [
        f"{place} keeps its budget: take it out of EXCUSED in {Path(__file__).name}"
        for place in EXCUSED
        if place not in places
    ]
    assert not complaints, "\n" + "\n".join(complaints)


def test_the_check_itself_sees_what_is_wrong() -> None:
    long_function = "def long():\n" + "    pass\n" * FUNCTION_LINES
    assert [place for place, _ in what_is_wrong("python/ziet/_utils.py", long_function)] == [
        "python/ziet/_utils.py",
        "python/ziet/_utils.py::long",
    ]
    assert not list(what_is_wrong("tests/test_x.py", long_function))
    assert list(what_is_wrong("tests/test_x.py", "\n" * (FILE_LINES + 1)))


def paths_of_a_machine() -> re.Pattern[str]:
    """Home folders as they are usually called, and those of the machine that the test runs on."""
    home, above = Path.home(), REPOSITORY.parent
    here = {REPOSITORY}
    # A home of "/", or a clone right below "/" or "/tmp", would forbid paths that any text may name.
    here |= {folder for folder in (home, above) if len(folder.parts) > 1 and folder != Path(tempfile.gettempdir())}
    names = "|".join(re.escape(str(folder)) for folder in sorted(here))
    return re.compile(rf"(?<![\w.$}}-])(?:(?:{names})(?![\w-])|/(?:home|Users)/[A-Za-z0-9][\w.-]*/)")


def test_no_file_holds_a_path_of_a_machine() -> None:
    pattern = paths_of_a_machine()
    complaints: list[str] = []
    for file in tracked_files():
        text = file.read_bytes().decode("utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), start=1):
            if match := pattern.search(line):
                complaints.append(f"{file.relative_to(REPOSITORY).as_posix()}:{number} holds the path {match[0]}")
    assert not complaints, "\n".join(["", *complaints, "Use a path relative to the repository, or a temporary folder."])


def test_the_pattern_knows_a_path_of_a_machine() -> None:
    pattern = paths_of_a_machine()
    assert pattern.search(f"see {REPOSITORY}/Makefile")
    assert pattern.search("open('/" + "home/ada/code/x.py')")
    assert not pattern.search("https://example.com/home/page/1 and target/debug")
