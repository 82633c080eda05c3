"""Drives the built program as a user would, and sees what it leaves behind."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import psutil

from server import Server

REPOSITORY = Path(__file__).resolve().parent.parent
PROJECTS = Path(__file__).resolve().parent / "projects"
PROGRAM = Path(os.environ.get("ZIET_PROGRAM") or REPOSITORY / ".venv" / "bin" / "ziet")

MARK = "ZIET_TEST_RUN"
"""The variable that everything inherits that a test starts, unless it is shut in: `zt-<session>-<test>`."""
LATENESS = "seconds from the deadline to the kill"
"""The property under which a test records how late a kill was; the summary prints it."""

SESSION = f"zt-{uuid.uuid4().hex[:8]}"

SHELL = """\
import contextlib, fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
program = os.fork()
if program == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execv(sys.argv[2], sys.argv[2:])
def pass_on(*_):
    with contextlib.suppress(ProcessLookupError):
        os.kill(program, signal.SIGHUP)
signal.signal(signal.SIGHUP, pass_on)
for descriptor in range(3):
    os.close(descriptor)
held = int(sys.argv[1])
os.write(held, b"%d" % program)
status = os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])
os.read(held, 1)
os._exit(status if status >= 0 else 128 - status)
"""
"""What a shell is to the program: runs it in the foreground of its terminal, and stays until everything is read. With
the end of a session the kernel throws away what its terminal still holds."""


@dataclass(frozen=True)
class Result:
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        assert self.out.count("\n") == 1, f"not one line of JSON: {self.out!r}, {self.err}"
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        """The lines of a run: on standard error if standard output holds a document."""
        return (self.err if self.out.startswith("{") else self.out).splitlines()

    @property
    def memory(self) -> dict[str, Any]:
        """What the last line of a run says is stored."""
        label, _, memory = self.lines[-1].partition(": ")
        assert label == "Result stored in memory", self
        parsed = json.loads(memory)
        assert memory == json.dumps(parsed)
        return parsed

    def said(self, text: str) -> list[str]:
        """The lines that contain `text`."""
        return [line for line in self.lines if text in line]


class Running:
    """The program in the background."""

    def __init__(
        self, process: subprocess.Popen[str], out: IO[str], err: Path, shell: socket.socket | None = None
    ) -> None:
        self._out = out
        self._err = err
        self._read: list[str] = []
        self._shell = shell
        self.process = process
        self.pid = int(shell.recv(100)) if shell else process.pid

    def until(self, text: str) -> str:
        """Reads on until a line contains `text`, and gives that line."""
        for line in _lines(self._out):
            self._read.append(line)
            if text in line:
                return line.rstrip("\r\n")
        raise AssertionError(f"no {text!r} in {''.join(self._read)!r}, {self._err.read_text('utf-8')}")

    @property
    def read(self) -> str:
        """What was read until now."""
        return "".join(self._read)

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.pid).children(recursive=True)

    def hang_up(self) -> None:
        """Closes its terminal, or the pipe that it writes to."""
        self._out.close()
        if self._shell is not None:
            self._shell.close()

    def finish(self) -> Result:
        """Reads to the end and waits for it."""
        self._read.extend(_lines(self._out))
        self.hang_up()
        status = self.process.wait()
        return Result(status, "".join(self._read), self._err.read_text("utf-8"))


class Project:
    """A folder in which the program is run."""

    def __init__(self, ziet: Ziet, folder: Path) -> None:
        self._ziet = ziet
        self.program = PROGRAM
        self.folder = folder
        self.columns = 80
        """Of the terminals that it is run in."""

    def __call__(self, *arguments: str, stdin: str = "", **environment: str) -> Result:
        """Runs `ziet` with these arguments and these variables besides the usual ones."""
        done = subprocess.run(
            [self.program, *arguments],
            cwd=self.folder,
            env=self._ziet.environment | environment,
            input=stdin.encode(),
            capture_output=True,
            check=False,
        )
        return Result(done.returncode, done.stdout.decode(), done.stderr.decode())

    def run(self, action: str, *arguments: str, stdin: str = "", **environment: str) -> Result:
        """Runs `ziet run --local action`."""
        return self("run", "--local", "action", action, *arguments, stdin=stdin, **environment)

    def start(self, *arguments: str, **environment: str) -> Running:
        """Starts `ziet` with these arguments in the background."""
        err = self._ziet.scratch / f"err-{uuid.uuid4().hex}"
        with err.open("wb") as errors:
            process = subprocess.Popen(
                [self.program, *arguments],
                cwd=self.folder,
                env=self._ziet.environment | environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                encoding="utf-8",
            )
        self._ziet.started.append(process)
        assert process.stdout is not None
        return Running(process, process.stdout, err)

    def start_in_terminal(self, *arguments: str, **environment: str) -> tuple[Running, int]:
        """Starts `ziet` in a terminal of its own; also gives the descriptor to type into."""
        keyboard, screen = os.openpty()
        fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 24, self.columns, 0, 0))
        ours, theirs = socket.socketpair()
        process = subprocess.Popen(
            [sys.executable, "-c", SHELL, str(theirs.fileno()), self.program, *arguments],
            cwd=self.folder,
            env={"TERM": "xterm-256color"} | self._ziet.environment | environment,
            stdin=screen,
            stdout=screen,
            stderr=screen,
            start_new_session=True,
            pass_fds=[theirs.fileno()],
            encoding="utf-8",
        )
        theirs.close()
        os.close(screen)
        self._ziet.started.append(process)
        nothing = self._ziet.scratch / "nothing"
        nothing.touch()
        return Running(process, open(keyboard, encoding="utf-8", newline=""), nothing, ours), keyboard

    def actions(self) -> list[dict[str, Any]]:
        """What `ziet actions --json` lists."""
        listed = self("actions", "--json")
        assert listed.status == 0, listed
        return json.loads(listed.out)


class Ziet:
    """The program, with a clean environment of its own for one test."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.program = PROGRAM
        self.mark = f"{SESSION}-{uuid.uuid4().hex[:8]}"
        # The path of a socket is short, and pytest's folders are not. What is shut in has the path among its arguments.
        self._temporary = tempfile.TemporaryDirectory(prefix=f"{self.mark}-")
        self.started: list[subprocess.Popen[str]] = []
        self.environment = {
            "HOME": str(scratch),
            "LANG": "C.UTF-8",
            "PATH": os.environ["PATH"],
            "SCRATCH": str(scratch),
            "TMPDIR": self._temporary.name,
            "VIRTUAL_ENV": sys.prefix,
            MARK: self.mark,
        }

    def project(self, name: str) -> Project:
        """One of the projects that come with the tests."""
        return Project(self, PROJECTS / name)

    def write(self, files: dict[str, str], folder: str = "project") -> Project:
        """A project made of these files."""
        root = self.scratch / folder
        for name, text in files.items():
            file = root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        return Project(self, root)

    def serve(self, project: Project, *options: str, **environment: str) -> Server:
        """Starts `ziet serve` on a state of this test's own, and waits until it listens. To be used in a `with`."""
        return Server(self, project, options, environment)

    def left_over(self) -> list[str]:
        """The processes and folders that remain although every program has ended."""
        _, alive = psutil.wait_procs(marked(self.mark), timeout=2)
        return [*map(str, alive), *map(str, self._folders())]

    def remove_folders(self) -> None:
        """Does what a program that was killed could not do."""
        for folder in self._folders():
            shutil.rmtree(folder)

    def _folders(self) -> list[Path]:
        return sorted(Path(self._temporary.name).glob("ziet-*"))

    def clean_up(self) -> None:
        """Ends what the test started and forgot, programs first."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()
        for process in marked(self.mark):
            process.kill()
        self._temporary.cleanup()


def marked(mark: str) -> list[psutil.Process]:
    """The living processes that have a mark that starts so, as a variable or in an argument."""
    return [process for process in psutil.process_iter() if _has(process, mark)]


def _has(process: psutil.Process, mark: str) -> bool:
    try:
        # The arguments first: what is shut in does not let others see its variables.
        return mark in " ".join(process.cmdline()) or mark in process.environ().get(MARK, "")
    except (psutil.Error, OSError):
        return False


def _lines(out: IO[str]) -> Iterator[str]:
    """The lines of a pipe or of a terminal, which ends with an error when nobody has it open any more."""
    while True:
        try:
            line = out.readline()
        except OSError:
            return
        if not line:
            return
        yield line


def seconds(attempt_or_run: dict[str, Any]) -> float:
    """How long it took, from its own times."""
    started, finished = (
        datetime.fromisoformat(attempt_or_run[at].replace("Z", "+00:00")) for at in ("started_at", "finished_at")
    )
    return (finished - started).total_seconds()


def waits(document: dict[str, Any]) -> list[float]:
    """The seconds between each attempt and the next."""
    times = [(attempt["started_at"], attempt["finished_at"]) for attempt in document["attempts"]]
    return [
        seconds({"started_at": finished, "finished_at": started})
        for (_, finished), (started, _) in itertools.pairwise(times)
    ]


TOOK = re.compile(r"completed in \d+\.\d\ds$", re.MULTILINE)


def masked(out: str) -> str:
    """The output of a run that completed, with every duration as 0.05 s."""
    shown, durations = TOOK.subn("completed in 0.05s", out)
    assert durations, f"no duration to mask in {out!r}"
    return shown
