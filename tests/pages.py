"""Reads the pages of the documentation, and runs what they show as a reader would.

Each page is one project, in an empty folder of its own that the page calls /srv/shop (a README of an example: a copy of
the example). The blocks are taken from top to bottom:

- `python`: goes to the end of actions.py, or is the file that a comment in its first line names. It must import, unless
  it ends with a comment `# SomeError: …`: then importing it must raise that, and the file is taken away again.
- `toml`: is ziet.toml, or the file that its first line names.
- `json`: must be JSON.
- `console`: each line after `$ ` is run by a shell, and what follows is what it must print, but for durations, ids,
  keys and dates. A line `...` stands for lines that are left out; as the last one of a command it says that the reader
  has seen enough, and the command is interrupted. A line `^C` presses those keys, and `Changed: FILE` saves that file
  again. A command that ends with ` &` stays in the background when it has printed what is shown, until `kill %1` or the
  end of the page. What the page calls 127.0.0.1:7878 is an address of the page's own.
- `pycon`: sessions of Python; all of a page are one session, as doctest runs it.
"""

from __future__ import annotations

import difflib
import functools
import json
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from program import PROGRAM, REPOSITORY, Ziet

FOLDER = "/srv/shop"
"""What the pages call the folder that they work in."""

HOME = "/srv/ada"
"""What the pages call the reader's home."""
ADDRESS = "127.0.0.1:7878"
"""What the pages call the address of their server."""

MASKS = [
    (re.compile(r"\b\d+\.\d+s\b"), "0.00s"),
    (re.compile(r"\b\d+ ms after its deadline\b"), "0 ms after its deadline"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "ID"),
    (re.compile(r"\bsk_[0-9a-f]+…?"), "sk_KEY"),
    (re.compile(r"\bprocess \d+\b"), "process 1"),
    (re.compile(r"\bused \d+(\.\d)? MB\b"), "used 0 MB"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)"), "DATE"),
]
LEFT_OUT = ("...", "…")
INTERRUPT = "^C"
IN_BACKGROUND = " &"
END_BACKGROUND = "kill %1"
PATIENCE_SECONDS = 60
CHANGED = re.compile(r"Changed: (\S+)")
NAMED = re.compile(r"# ([\w./-]+\.(?:py|toml))$")
RAISES = re.compile(r"^# (\w+Error: .*(?:\n# .*)*)\Z", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: str
    line: int
    """The line of the page in which its text begins."""
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def first(self) -> str:
        return self.text.partition("\n")[0]

    @property
    def raises(self) -> str | None:
        """The error that importing it must raise."""
        found = RAISES.search(self.text.rstrip())
        return found and found[1].replace("\n# ", " ")

    @property
    def file(self) -> str:
        """The file that it belongs to."""
        named = NAMED.match(self.first)
        return named[1] if named else {"python": "actions.py", "toml": "ziet.toml"}[self.language]

    @property
    def continues(self) -> bool:
        """Whether it goes to the end of its file, rather than being all of it."""
        return self.language == "python" and not NAMED.match(self.first)


def pages() -> list[Path]:
    """Every page whose snippets are run."""
    written = [page for page in (REPOSITORY / "docs").rglob("*.md") if "reference" not in page.parts]
    return [REPOSITORY / "README.md", *sorted(written), *sorted((REPOSITORY / "examples").glob("*/README.md"))]


def free_address() -> str:
    """An address that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"127.0.0.1:{taken.getsockname()[1]}"


def tokens(page: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text("utf-8"))


def blocks(page: Path) -> list[Block]:
    name = page.relative_to(REPOSITORY).as_posix()
    found: list[Block] = []
    for token in tokens(page):
        if token.type in ("fence", "code_block"):
            assert token.map is not None
            found.append(Block(name, token.map[0] + 2, token.info.strip() or "no language", token.content))
    return found


def masked(text: str) -> str:
    """With what differs from run to run made equal."""
    for pattern, mask in MASKS:
        text = pattern.sub(mask, text)
    return text


def matches(shown: list[str], rows: list[str]) -> bool:
    """Whether these lines, with some left out, are those that were printed, which are masked already."""
    parts: list[list[str]] = [[]]
    for row in map(masked, shown):
        if row in LEFT_OUT:
            parts.append([])
        else:
            parts[-1].append(row)
    begin, *between = parts
    if not between or rows[: len(begin)] != begin:
        return rows == begin
    at = len(begin)
    for part in between[:-1]:
        starts = (start for start in range(at, len(rows) + 1) if rows[start : start + len(part)] == part)
        at = next(starts, len(rows)) + len(part)
    end = len(rows) - len(between[-1])
    return at <= end and rows[end:] == between[-1]


@dataclass
class Files:
    """The files that the blocks of a page make, each line with where it stands in the page."""

    lines: dict[str, list[tuple[str, str]]] = field(default_factory=dict[str, list[tuple[str, str]]])

    def add(self, block: Block) -> None:
        """Takes in a block of Python or TOML."""
        before = self.lines.get(block.file, []) if block.continues else []
        gap = [("", ""), ("", "")] if before else []
        lines = enumerate(block.text.splitlines(), start=block.line)
        self.lines[block.file] = [*before, *gap, *((text, f"{block.page}:{number}") for number, text in lines)]

    def write(self, folder: Path) -> None:
        for name, lines in self.lines.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("".join(f"{text}\n" for text, _ in lines), "utf-8")


@dataclass(frozen=True)
class Command:
    """A line that is typed, and the lines that it is said to print."""

    line: int
    """The line of the page in which it ends."""
    typed: str
    shown: list[str]

    def renewed(self, printed: list[str]) -> list[str]:
        """What should be shown instead, with the lines that only differ in what is masked as they are."""
        if set(self.shown) & {*LEFT_OUT, INTERRUPT}:
            # Which lines are left out is for people to say; the nearest ones take the place of those shown.
            near = [difflib.get_close_matches(row, printed, n=1) or [row] for row in self.shown]
            known = {*LEFT_OUT, INTERRUPT, *map(masked, printed)}
            return [row if masked(row) in known else new for row, [new] in zip(self.shown, near, strict=True)]
        rows: list[str] = []
        matcher = difflib.SequenceMatcher(None, [*map(masked, self.shown)], [*map(masked, printed)])
        for tag, begin, end, first, last in matcher.get_opcodes():
            rows += self.shown[begin:end] if tag == "equal" else printed[first:last]
        return rows


def commands(block: Block) -> list[Command]:
    found: list[Command] = []
    rows = iter(enumerate(block.text.splitlines(), start=block.line))
    for number, row in rows:
        if row.startswith("$ "):
            typed = row[2:]
            while typed.endswith("\\"):
                number, row = next(rows)
                typed += "\n" + row.removeprefix("> ")
            found.append(Command(number, typed, []))
        else:
            assert found, f"{block.page}:{number}: a console begins with a line `$ command`"
            found[-1].shown.append(row)
    return found


class Reader:
    """Does what a page says, in a folder of its own."""

    def __init__(self, ziet: Ziet, page: Path) -> None:
        self._ziet = ziet
        self._folder = ziet.scratch / ("shop" if "examples" not in page.parts else page.parent.name)
        if "examples" in page.parts:
            shutil.copytree(page.parent, self._folder, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            self._folder.mkdir()
        path = [str(PROGRAM.parent), str(Path(sys.prefix) / "bin"), ziet.environment["PATH"]]
        self._environment = ziet.environment | {
            "PATH": os.pathsep.join(path),
            "PYTHONPATH": str(REPOSITORY / "python"),
            "ZIET_LISTEN": (address := free_address()),
        }
        self._named = [(str(self._folder), FOLDER), (str(ziet.scratch), HOME), (address, ADDRESS)]
        self._background: list[tuple[subprocess.Popen[str], queue.SimpleQueue[str | None]]] = []
        self._files = Files()
        self._sessions: list[Block] = []
        # Folder, variables and exit status go on from one command to the next, as in a shell that stays open.
        self._shell = ziet.scratch / "shell"
        self._shell.write_text(f"cd '{self._folder}'\n")
        self.renewed: list[tuple[Command, list[str]]] = []
        """What should be shown of the commands that printed something else."""

    def read(self, block: Block) -> Iterator[str]:
        """Does what one block says, and gives what is wrong with it."""
        match block.language:
            case "python" | "toml":
                yield from self._save(block)
            case "json":
                try:
                    json.loads(block.text)
                except ValueError as error:
                    yield f"{block}: {error}"
            case "console":
                for command in commands(block):
                    yield from self._run(block, command)
            case "pycon":
                self._sessions.append(block)
            case other:
                yield f"{block}: nothing runs a block of {other}: name its language, or excuse it in test_docs.py"

    def end(self) -> Iterator[str]:
        """Runs the sessions of the page as one, at the lines that they have in the page, and ends what is left."""
        while self._background:
            self._end_background()
        if not self._sessions:
            return
        text = ""
        for block in self._sessions:
            text += "\n" * (block.line - 1 - text.count("\n")) + block.text
        session = self._folder / Path(self._sessions[0].page).name
        session.write_text(text, "utf-8")
        done = self._python("-m", "doctest", "-o", "ELLIPSIS", session.name)
        if done.returncode:
            yield done.stdout + done.stderr

    def _save(self, block: Block) -> Iterator[str]:
        self._files.add(block)
        self._files.write(self._folder)
        if block.language == "toml":
            return
        done = self._python("-c", f"import {block.file.removesuffix('.py').replace('/', '.')}")
        if block.raises is None:
            if done.returncode:
                yield f"{block}: does not import:\n{done.stderr}"
            return
        # The type as the page writes it, without its module.
        last = done.stderr.rstrip().rpartition("\n")[2].replace(str(self._folder), FOLDER)
        raised = re.sub(r"^[\w.]+\.(?=\w+:)", "", last)
        if raised != block.raises:
            yield f"{block}: should raise\n  {block.raises}\nbut raises\n  {raised}"
        del self._files.lines[block.file]
        (self._folder / block.file).unlink()

    def _python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def _run(self, block: Block, command: Command) -> Iterator[str]:
        printed = self._type(command)
        rows = [masked(row) for row in printed]
        shown = [row for row in command.shown if row != INTERRUPT]
        if matches(shown, rows):
            return
        self.renewed.append((command, command.renewed(printed)))
        expected = [masked(row) for row in shown]
        difference = difflib.unified_diff(expected, rows, "what the page shows", "what was printed", lineterm="")
        yield f"{block.page}:{command.line}: $ {command.typed}\n" + "\n".join(difference)

    def _type(self, command: Command) -> list[str]:
        """Runs a command to its end, and gives the lines that it printed on standard output and standard error."""
        if command.typed == END_BACKGROUND:
            return self._end_background()
        if command.typed.endswith(IN_BACKGROUND):
            return self._start_background(command)
        # In one step, since the reader may interrupt it: then what was before goes on.
        state = """{ s=$?; export -p; echo "cd \\"\\$PWD\\"; (exit $s)"; }"""
        save = f"trap '{state} > {self._shell}.new && mv {self._shell}.new {self._shell}' EXIT"
        process = self._start(f"{save}\nset -a\n. {self._shell}\n{self._as_here(command.typed)}\n")
        assert process.stdout is not None
        # A command that waits for something that will not come is ended, so that what it printed can be compared.
        end = threading.Timer(PATIENCE_SECONDS, os.killpg, (process.pid, signal.SIGKILL))
        end.start()
        lines = map(self._as_on_the_page, process.stdout)
        printed: list[str] = []
        rows: list[str] = []
        for shown, act in self._cues(command, process):
            while not matches(shown, rows) and (line := next(lines, None)) is not None:
                printed.append(line)
                rows.append(masked(line))
            act()
        printed += lines
        process.stdout.close()
        end.cancel()
        process.wait()
        return printed

    def _start(self, script: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            ["bash", "-c", script],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            encoding="utf-8",
        )
        self._ziet.started.append(process)
        return process

    def _start_background(self, command: Command) -> list[str]:
        """Starts a command that stays, and gives what it printed until that is what is shown."""
        typed = self._as_here(command.typed.removesuffix(IN_BACKGROUND))
        process = self._start(f"set -a\n. {self._shell}\nexec {typed}\n")
        lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                lines.put(self._as_on_the_page(line))
            lines.put(None)

        threading.Thread(target=read).start()
        self._background.append((process, lines))
        printed: list[str] = []
        # The end is for what does not come; the lines that the page leaves out may go on for ever.
        end = threading.Timer(PATIENCE_SECONDS, process.kill)
        end.start()
        while not matches(command.shown, [*map(masked, printed)]) and (line := lines.get()) is not None:
            printed.append(line)
        end.cancel()
        return printed

    def _end_background(self) -> list[str]:
        """Asks the last command in the background to end, and gives what it printed since it was started."""
        process, lines = self._background.pop()
        process.terminate()
        printed = list(iter(lines.get, None))
        process.wait()
        return printed

    def _as_on_the_page(self, line: str) -> str:
        for here, there in self._named:
            line = line.replace(here, there)
        return line.rstrip("\n")

    def _as_here(self, typed: str) -> str:
        for here, there in self._named:
            typed = typed.replace(there, here)
        return typed

    def _cues(
        self, command: Command, process: subprocess.Popen[str]
    ) -> Iterator[tuple[list[str], Callable[[], object]]]:
        """What the reader does, each with the lines that come before."""

        def interrupt() -> None:
            os.killpg(process.pid, signal.SIGINT)

        for at, row in enumerate(command.shown):
            before = [row for row in command.shown[:at] if row != INTERRUPT]
            if row == INTERRUPT or (row in LEFT_OUT and at == len(command.shown) - 1):
                yield before, interrupt
            elif changed := CHANGED.match(row):
                file = self._folder / changed[1]
                yield before, functools.partial(file.write_bytes, file.read_bytes())
