"""Time a whole local run of a trivial action against a Python that only imports the same module."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).parent / "trivial"
GOAL_MS = 80


def measure(hyperfine: str, runs: int, export: Path) -> list[float]:
    """The median of each command, in milliseconds: a busy machine makes single runs slow, never fast."""
    python = Path(sys.executable)
    commands = [f"'{python}' -c 'import hello'", f"'{python.with_name('ziet')}' run --local action hello"]
    environment = dict(os.environ)
    # With it set, Python would compile every module anew, and the import would be measured too slow.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run(
        [hyperfine, "--shell=none", "--warmup=5", f"--runs={runs}", f"--export-json={export}", *commands],
        cwd=PROJECT,
        env=environment,
        check=True,
    )
    return [result["median"] * 1000 for result in json.loads(export.read_text())["results"]]


def main() -> None:
    """Print both figures and their difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hyperfine", default="hyperfine", help="the program that measures")
    parser.add_argument("--runs", type=int, default=40, help="how often each command is run")
    parser.add_argument("--export", type=Path, help="where to keep the figures as JSON")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        export = options.export.absolute() if options.export else Path(folder) / "figures.json"
        imported, run = measure(options.hyperfine, options.runs, export)

    more = run - imported
    print(f"python -c 'import hello'         {imported:6.1f} ms")
    print(f"ziet run --local action hello    {run:6.1f} ms")
    print(f"difference                       {more:6.1f} ms, the goal is at most {GOAL_MS} ms")


if __name__ == "__main__":
    main()
