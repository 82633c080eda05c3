"""A server with actions, and the program logged in to it, for the tests that drive it."""

from __future__ import annotations

import re
import shlex
from typing import Any

from pages import free_address
from program import Result, Ziet
from shown import masked as masked_run

ESCAPE = "\x1b["
ID = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
ACTIONS = '''
import time
from pathlib import Path

from ziet import Action, memory


@Action(id="charge", description="Charge a customer")
def charge(amount: int, email: str = "ada@example.com") -> str:
    """Charges a customer.

    Args:
        amount: What to charge, in cents, e.g., 1250
    """
    print(f"charging {email}")
    memory.add("receipt", f"{amount / 100:.2f} usd")
    return "charged"


@Action(description="Counts", timeout=60)
def count(to: int, pause: float = 0.0) -> int:
    for number in range(1, to + 1):
        print(f"number {number}")
        time.sleep(pause)
    return to


@Action(description="Waits for a file", timeout=60)
def hold(file: str) -> str:
    print("holding")
    while not Path(file).exists():
        time.sleep(0.02)
    print("let go")
    return "held"


@Action(description="Fails", retries=1)
def fails(text: str = "no") -> None:
    print("about to fail")
    raise ValueError(text)


@Action(description="Prints what steers a terminal")
def hostile() -> str:
    print("a\\x1b[2Jb\\x1b]0;title\\x07c\\rd")
    return "\\x1b[31mred"
'''
OTHER = """
from ziet import Action


@Action(id="other", description="Counts, too")
def count() -> None: ...
"""


class Shop:
    """A server with actions, and the program logged in to it."""

    def __init__(self, ziet: Ziet, *options: str, **files: str) -> None:
        self.ziet = ziet
        project = ziet.write({"ziet.toml": 'name = "shop"\n', "actions.py": ACTIONS, **files})
        self.server = ziet.serve(project, "--sandbox", "off", "--no-backoff", *options)
        self.project = ziet.write({"readme.txt": "no project"}, folder="elsewhere")
        self.login()

    def login(self) -> None:
        done = self("login", self.server.url, "--name", "shop", stdin=self.server.key)
        assert done.status == 0, done

    def __call__(self, *arguments: str, stdin: str = "", **environment: str) -> Result:
        return self.project(*arguments, stdin=stdin, **environment)

    def json(self, *arguments: str) -> Any:
        """The one document that a command prints with --json."""
        done = self(*arguments, "--json")
        assert (done.status, done.err) == (0, ""), done
        return done.document

    def lines(self, *arguments: str) -> list[str]:
        done = self(*arguments)
        assert done.status == 0, done
        assert ESCAPE not in done.out
        return done.out.splitlines()

    def detach(self, *arguments: str) -> str:
        [run] = self.lines("run", "action", *arguments, "--detach")
        assert ID.fullmatch(run)
        return run

    def finished(self, *arguments: str) -> str:
        run = self.detach(*arguments)
        self.server.wait(run)
        return run

    def masked(self, text: str) -> str:
        text = ID.sub("ID", text.replace(self.server.url, "URL"))
        return masked_run(self.project, text.replace(str(self.ziet.scratch), "SCRATCH"))

    def shown(self, *arguments: str, stdin: str = "", **environment: str) -> str:
        """The command line with everything that it printed, and its exit status."""
        done = self(*arguments, stdin=stdin, **environment)
        typed = self.masked(shlex.join(["ziet", *arguments]))
        return f"$ {typed}\n{self.masked(done.err)}{self.masked(done.out)}exit status {done.status}\n"


def own(ziet: Ziet, **files: str) -> Shop:
    """One that a test may restart: it listens where it listened before."""
    return Shop(ziet, "--listen", free_address(), **files)
