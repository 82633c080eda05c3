"""A project that is shut in by some of the walls, for tests of `--sandbox on`."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from program import PROGRAM, PROJECTS, Project, Ziet

ROOT = os.geteuid() == 0
SECRET = "sk-never-to-be-seen"
WALLS = {"all": "", "namespaces": "landlock", "landlock": "namespaces"}
"""What is left when this is switched off."""


class Shut:
    """A project whose code is shut in by some of the walls."""

    def __init__(self, ziet: Ziet, walls: str, folder: Path) -> None:
        self.walls = walls
        self.folder = folder
        self.ziet = ziet
        self.project = Project(ziet, folder)
        self.temporary = Path(ziet.environment["TMPDIR"])
        self.command = [str(PROGRAM)]
        ziet.environment |= {"ZIET_SANDBOX": "on", "ZIET_WITHOUT": WALLS[walls], "DATABASE_URL": SECRET}

    @property
    def has_own_processes(self) -> bool:
        return self.walls != "landlock"

    def start(self, code: str, *arguments: str, before: str = "") -> subprocess.Popen[str]:
        """Starts the execution of some code, to which `pid` is the program's; `before` is for the shell to do."""
        run = f'{before} exec "$@" -p pid=$$'
        words = ["run", "--local", "--no-backoff", "action", "execute", "--json", "-p", f"code={code}"]
        return subprocess.Popen(
            ["/bin/sh", "-c", run, "sh", *self.command, *words, *arguments],
            cwd=self.folder,
            env=self.ziet.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def __call__(self, code: str, *, before: str = "") -> Any:
        """What the code calls `result`."""
        out, err = self.start(code, before=before).communicate()
        assert out, err
        document = json.loads(out)
        assert document["status"] == "completed", document["error"]["traceback"]
        return document["output"]

    def processes(self) -> list[psutil.Process]:
        """Those of the sandbox, seen from outside: the guardian, the zygote, and its executors."""
        return [process for process in psutil.process_iter() if str(self.temporary) in command_of(process)]


def command_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def program_for(walls: str) -> list[str]:
    """Root's Python may lie where only root can go, which is no wall that can be looked over with Landlock alone."""
    closed = [above for folder in (sys.prefix, sys.base_prefix) for above in Path(folder).resolve().parents]
    if not (ROOT and walls == "landlock" and any(not above.stat().st_mode & 0o001 for above in closed)):
        return [str(PROGRAM)]
    if not importlib.util.find_spec("as_nobody") or not shutil.which("unshare"):
        pytest.skip("only root can reach this Python")
    opened = "import as_nobody, os, sys; as_nobody.open_the_way(); os.execv(sys.argv[1], sys.argv[1:])"
    # The variables are for the program alone.
    python = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); {opened}"]
    return ["unshare", "--mount", "--propagation", "private", "--", *python, str(PROGRAM)]


@pytest.fixture(params=WALLS)
def shut(ziet: Ziet, request: pytest.FixtureRequest) -> Iterator[Shut]:
    # Another user must be able to get there.
    os.chmod(ziet.environment["TMPDIR"], 0o711)
    with tempfile.TemporaryDirectory(prefix="zs-") as folder:
        os.chmod(folder, 0o755)
        place = Path(folder) / "my project"
        shutil.copytree(PROJECTS / "shut_in", place)
        shut = Shut(ziet, request.param, place)
        shut.command = program_for(shut.walls)
        yield shut
        _, alive = psutil.wait_procs(shut.processes(), timeout=2)
        assert not alive
