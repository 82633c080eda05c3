"""What pyright and mypy say about code that uses the SDK."""

import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

FOLDER = pathlib.Path(__file__).parent / "typing"
REPOSITORY = FOLDER.parents[2]


def check(checker: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    if importlib.util.find_spec(checker) is None:
        pytest.skip(f"{checker} is not installed; `make lint` has it")
    return subprocess.run(
        [sys.executable, "-m", checker, *arguments],
        # Not this interpreter's own folder of the repository: the configuration stands at its top.
        cwd=REPOSITORY,
        env=os.environ | {"MYPYPATH": "python"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_pyright_accepts_right_code_and_finds_every_wrong_line():
    """`wrong.py` ignores the errors of each of its lines, and pyright complains about an ignore without an error."""
    done = check("pyright", "--pythonpath", sys.executable, str(FOLDER))

    assert done.returncode == 0, done.stdout
    assert "0 errors, 0 warnings" in done.stdout


def test_mypy_accepts_right_code_and_finds_every_wrong_line():
    alone = ("--config-file=", f"--cache-dir={os.devnull}", "--follow-imports=silent", "--output=json")

    done = check("mypy", "--strict", "--python-version=3.10", *alone, str(FOLDER))

    said = [error for error in map(json.loads, done.stdout.splitlines()) if error["severity"] == "error"]
    found = {(pathlib.Path(error["file"]).name, error["line"], error["code"]) for error in said}
    expected = {
        (file.name, number, code)
        for file in FOLDER.glob("*.py")
        for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1)
        for codes in re.findall(r"# mypy: ([a-z, -]+)", line)
        for code in re.split(r"[, ]+", codes.strip())
    }
    assert found == expected, done.stdout + done.stderr
