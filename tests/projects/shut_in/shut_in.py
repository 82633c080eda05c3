"""Executes what a test hands over, and tells what became of it."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ziet import Action

BESIDE = (Path(__file__).parent / "beside.txt").read_text()


def tried(function: Callable[..., Any], *arguments: Any) -> Any:
    """What it returns, or the name of its error."""
    try:
        return function(*arguments)
    except Exception as error:
        return type(error).__name__


@Action(description="Executes code, and gives what it has called `result`")
def execute(code: str, pid: int = 0) -> Any:
    names: dict[str, Any] = {"os": os, "Path": Path, "tried": tried, "pid": pid, "BESIDE": BESIDE}
    exec(code, names)
    return names.get("result")
