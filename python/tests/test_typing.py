"""What pyright says about code that uses the SDK."""

import importlib.util
import pathlib
import subprocess
import sys

import pytest

FOLDER = pathlib.Path(__file__).parent / "typing"


@pytest.mark.skipif(importlib.util.find_spec("pyright") is None, reason="pyright is not installed; `make lint` has it")
def test_right_code_passes_and_every_wrong_line_is_found():
    """`wrong.py` ignores one error on each of its lines, and pyright complains about an ignore without an error."""
    # Not this interpreter's own folder of the repository: the configuration stands at its top.
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, str(FOLDER)],
        cwd=FOLDER.parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "0 errors, 0 warnings" in done.stdout
