"""Time how long a save takes under `ziet dev` until a run executes it, beside how long the project takes to import."""

import argparse
import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

GOAL_MS = 200
"""The median at most, without the project's own import."""
PATIENCE_SECONDS = 60
PROJECTS = {
    "a small project": "",
    "a project that imports pandas": "import pandas\n",
}
SOURCE = """{imports}from ziet import Action

@Action(id="version", description="Tells which version of this file is executed")
def version() -> int:
    return {version}
"""
IMPORT = """
import time
began = time.perf_counter()
import actions
print(time.perf_counter() - began)
"""


def save(folder: Path, imports: str, version: int) -> None:
    """As most editors do: a new file takes the place of the old one."""
    beside = folder / ".actions.py.new"
    beside.write_text(SOURCE.format(imports=imports, version=version))
    beside.replace(folder / "actions.py")


@contextmanager
def dev(folder: Path) -> Iterator[tuple[http.client.HTTPConnection, str]]:
    """A connection to a server of the folder, and a key."""
    program = Path(os.environ.get("ZIET_PROGRAM") or Path(sys.executable).with_name("ziet"))
    process = subprocess.Popen(
        [program, "dev", "--listen", "127.0.0.1:0"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        next(line for line in process.stderr if "Live after" in line)
        url, key = re.findall(r'"(.*)"', (folder / ".ziet" / "dev.toml").read_text())
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE_SECONDS)
        yield connection, key
        connection.close()
    finally:
        process.terminate()
        process.communicate()


def executed(connection: http.client.HTTPConnection, key: str) -> int:
    """The version that a new run executes."""
    head = {"Authorization": f"Api-Key {key}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/runs?wait=60", json.dumps({"action_id": "version"}), head)
    answer = json.loads(connection.getresponse().read())
    assert answer.get("status") == "completed", answer
    return answer["output"]


def measure(imports: str, saves: int) -> tuple[list[float], list[float]]:
    """Milliseconds from each save to the first run that executes it, and of as many imports in a Python of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save(folder, imports, 0)
        live: list[float] = []
        with dev(folder) as (connection, key):
            for version in range(1, saves + 1):
                save(folder, imports, version)
                began = time.perf_counter()
                while executed(connection, key) != version:
                    assert time.perf_counter() - began < PATIENCE_SECONDS, "a save is never live"
                live.append((time.perf_counter() - began) * 1000)
        took: list[float] = []
        for version in range(saves):
            # Compiled anew, as after a save.
            save(folder, imports, saves + 1 + version)
            done = subprocess.run(
                [sys.executable, "-c", IMPORT], cwd=folder, capture_output=True, text=True, check=True
            )
            took.append(float(done.stdout) * 1000)
        return live, took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--saves", type=int, default=30, help="how often each project is saved (default: 30)")
    saves = parser.parse_args().saves
    print("\nFrom a save under `ziet dev` to the first run that executes it, milliseconds:\n")
    print(f"{'':32}{'p50':>8}{'slowest':>9}{'import':>8}{'more':>8}   goal")
    for project, imports in PROJECTS.items():
        live, took = measure(imports, saves)
        median, own = statistics.median(live), statistics.median(took)
        verdict = "ok" if median - own <= GOAL_MS else "MISSED"
        print(f"{project:32}{median:8.0f}{max(live):9.0f}{own:8.0f}{median - own:8.0f}   {GOAL_MS} {verdict}")


if __name__ == "__main__":
    main()
