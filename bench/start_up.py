"""Time what everybody waits for each time: importing the SDK, the program's help, and a whole local run."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).parent / "trivial"


class Goal(NamedTuple):
    """At most so many milliseconds more than another command takes, or than nothing."""

    command: str
    more_than: str | None
    most_ms: int


COMMANDS = {
    "python -c pass": "{python} -c pass",
    "python -c 'import ziet'": "{python} -c 'import ziet'",
    "ziet --help": "{ziet} --help",
    "python -c 'import hello'": "{python} -c 'import hello'",
    "ziet run --local action hello": "{ziet} run --local action hello",
}
GOALS = [
    Goal("python -c 'import ziet'", "python -c pass", 20),
    Goal("ziet --help", None, 10),
    Goal("ziet run --local action hello", "python -c 'import hello'", 80),
]


class Figures(NamedTuple):
    """What one command took, in milliseconds. A busy machine makes single runs slow, never fast."""

    least: float
    median: float


def measure(hyperfine: str, runs: int, export: Path) -> dict[str, Figures]:
    """The figures of each command, by how it is shown."""
    python = Path(sys.executable)
    programs = {"python": f"'{python}'", "ziet": f"'{python.with_name('ziet')}'"}
    commands = [command.format(**programs) for command in COMMANDS.values()]
    environment = dict(os.environ)
    # With it set, Python would compile every module anew, and the import would be measured too slow.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run(
        [hyperfine, "--shell=none", "--warmup=5", f"--runs={runs}", f"--export-json={export}", *commands],
        cwd=PROJECT,
        env=environment,
        check=True,
    )
    results = json.loads(export.read_text())["results"]
    return {
        shown: Figures(result["min"] * 1000, result["median"] * 1000)
        for shown, result in zip(COMMANDS, results, strict=True)
    }


def main() -> None:
    """Print the figures, and the differences that have a goal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hyperfine", default="hyperfine", help="the program that measures")
    parser.add_argument("--runs", type=int, default=40, help="how often each command is run")
    parser.add_argument("--export", type=Path, help="where to keep the figures as JSON")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        export = options.export.absolute() if options.export else Path(folder) / "figures.json"
        figures = measure(options.hyperfine, options.runs, export)

    print(f"{'milliseconds':32}{'least':>8}{'median':>8}")
    for shown, (least, median) in figures.items():
        print(f"{shown:32}{least:8.1f}{median:8.1f}")
    print()
    for command, more_than, most_ms in GOALS:
        base = figures[more_than] if more_than else Figures(0, 0)
        least, median = figures[command].least - base.least, figures[command].median - base.median
        more = f" more than {more_than}" if more_than else ""
        print(f"{command}: {median:.1f} ms{more} (least {least:.1f} ms), the goal is at most {most_ms} ms")


if __name__ == "__main__":
    main()
