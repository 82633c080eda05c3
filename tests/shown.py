"""What a command shows, as text that is the same on every machine and in every run."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

from program import Project, Result

MASKS = [
    (re.compile(r"completed in \d+\.\d\ds$", re.MULTILINE), "completed in 0.05s"),
    (re.compile(r"0x[0-9a-f]{6,}"), "0xADDRESS"),
    (re.compile(r"used \d+(\.\d)? MB"), "used 70 MB"),
    (re.compile(r"process \d+ \("), "process 4242 ("),
    (re.compile(r"(?<=Note: ended )\d+(?= ms after its deadline)"), "9"),
    # How deep the interpreter lets code go, and what Python prints of a stack, differs from version to version.
    (re.compile(r"(?<=… the same call, )9\d\d(?= more times)"), "9xx"),
    (re.compile(r"(?<=^Traceback \(most recent call last\):\n)(  .*\n)+", re.MULTILINE), "  ...\n"),
    # Only on a slow machine.
    (re.compile(r"^.*importing the project takes long\n", re.MULTILINE), ""),
]
LAST = "Result stored in memory: "


def shown(project: Project, result: Result, *arguments: str) -> str:
    """The command line with everything that it printed, and its exit status."""
    parts = [f"$ {shlex.join(['ziet', *arguments])}\n", masked(project, result.err), masked(project, result.out)]
    return "".join([*parts, f"exit status {result.status}\n"])


def masked(project: Project, text: str) -> str:
    for folder, name in ((project.folder, "PROJECT"), (project.folder.parent, "ABOVE")):
        text = text.replace(str(folder), name)
    for pattern, instead in MASKS:
        text = pattern.sub(instead, text)
    *lines, last = text.split(LAST)
    if lines:
        last = LAST + json.dumps(_without_tracebacks(json.loads(last))) + "\n"
    return "".join([*lines, last])


def _without_tracebacks(memory: dict[str, object]) -> dict[str, object]:
    """Nor what is too long to read."""
    for value in memory.values():
        if isinstance(value, dict) and isinstance(value.get("traceback"), str):
            value["traceback"] = "..."
        if isinstance(value, dict) and len(str(value.get("message"))) > 200:
            value["message"] = str(value["message"])[:20] + "..."
    return {key: value for key, value in memory.items() if len(str(value)) < 10_000}


def file_of(folder: str, name: str) -> Path:
    return Path(__file__).resolve().parent / "shown" / folder / f"{name}.txt"
