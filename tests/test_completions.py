"""Completions, in the shells themselves and as the shells ask for them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from program import PROGRAM, Project, Ziet

ACTIONS = """
import types
import ziet as z
from ziet import Action, memory
from ziet import Action as Durable

open("imported", "w").close()  # A completion must not run this.

@Action(id="place_order", description="Places an order")
def order(items: list[str], *, customer: "str | None" = None) -> None:
    memory.add("ordered", items)

@z.Action(description="Two\\nlines \\x1b[31m")
async def refund(amount, reason: str = "") -> None: ...

@Durable(id="pay" + "ment", description=str(1))
def pay() -> None: ...

other = types.SimpleNamespace(Action=lambda id: lambda function: function)

@other.Action(id="no_action")
def no_action(): ...

def action(id): ...
"""


@pytest.fixture
def shop(ziet: Ziet) -> Project:
    return ziet.write(
        {
            "shop/__init__.py": "",
            "shop/actions.py": ACTIONS,
            "broken.py": "from ziet import Action\n@Action(id='broken'\ndef",
            "twice.py": "from ziet import Action\n@Action(description='d')\ndef pay(): ...\n",
        }
    )


def candidates(project: Project, *words: str, **environment: str) -> dict[str, str]:
    """What the shell offers for the last word, with the explanations; options left out."""
    asked = project("--", "ziet", *words, ZIET_COMPLETE="fish", **environment)
    assert (asked.status, asked.err) == (0, "")
    assert not (project.folder / "imported").exists()
    pairs = [line.partition("\t")[::2] for line in asked.out.splitlines()]
    return {name: text for name, text in pairs if not name.startswith("-")}


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--local", "action", ""],
        ["run", "action", "--local", ""],
        ["--local", "run", "action", "--json", ""],
        ["actions", ""],
    ],
)
def test_actions_are_offered_by_their_ids(shop: Project, words: list[str]) -> None:
    assert candidates(shop, *words) == {
        "place_order": "Places an order",
        "shop.actions.refund": "Two\\nlines \\x1b[31m",
        "shop.actions.pay": "",
        "twice.pay": "d",
    }


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("pl", ["place_order"]),
        ("ref", ["refund"]),
        ("order", ["order"]),
        ("shop.actions.o", ["shop.actions.order"]),
        ("pay", []),
        ("no", []),
    ],
)
def test_what_is_typed_decides_which_name_is_offered(shop: Project, typed: str, offered: list[str]) -> None:
    assert list(candidates(shop, "actions", typed)) == offered


@pytest.mark.parametrize("name", ["place_order", "order", "shop.actions.order"])
def test_parameters_are_those_of_the_action(shop: Project, name: str) -> None:
    offered = {"items=": "list[str]", "customer=": "'str | None'"}

    assert candidates(shop, "run", "--local", "action", name, "-p", "") == offered
    assert candidates(shop, "run", "--local", "action", name, "-p", "items=[]", "--param", "c") == {
        "customer=": "'str | None'"
    }


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--local", "action", "place_order", "-p", ""],
        ["--python", "python3", "run", "--local", "action", "place_order", "-p", ""],
        ["run", "--project", ".", "action", "--input", "refund", "place_order", "-p", ""],
        ["run", "action", "-p", "items=[]", "place_order", "--json", "-p", ""],
    ],
)
def test_a_word_before_the_name_may_be_an_action_too(shop: Project, words: list[str]) -> None:
    names = "run", "action", "python3", "ziet"
    functions = [f"@Action(description='d')\ndef {name}(wrong: int): ...\n" for name in names]
    (shop.folder / "words.py").write_text("from ziet import Action\n" + "".join(functions))

    assert candidates(shop, *words).keys() == {"items=", "customer="}


def test_commands_and_shells_are_offered(shop: Project) -> None:
    assert {"run", "actions", "init", "completions"} <= candidates(shop, "").keys()
    assert set(candidates(shop, "completions", "")) == {"bash", "zsh", "fish", "elvish", "powershell"}


def test_a_project_that_cannot_be_read_has_no_candidates(ziet: Ziet) -> None:
    assert candidates(ziet.write({"ziet.toml": "="}), "actions", "") == {}
    assert candidates(ziet.write({"notes.txt": ""}, "empty"), "actions", "") == {}


def test_a_python_that_hangs_is_not_waited_for(shop: Project, tmp_path: Path) -> None:
    python = tmp_path / "env" / "bin" / "python3"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nexec sleep 100\n")
    python.chmod(0o755)

    assert candidates(shop, "actions", "", ZIET_PYTHON=str(python)) == {}


@pytest.mark.parametrize("python", ["./evil", "evil", "./missing"])
def test_a_python_that_the_project_names_is_not_executed(shop: Project, python: str) -> None:
    evil = shop.folder / "evil"
    evil.write_text(f'#!/bin/sh\ntouch {shop.folder}/imported\nexec {sys.executable} "$@"\n')
    evil.chmod(0o755)
    (shop.folder / "ziet.toml").write_text(f'python = "{python}"\n')

    assert "place_order" in candidates(shop, "actions", "", PATH=f"{shop.folder}{os.pathsep}{os.environ['PATH']}")
    # A person who names it wants it.
    shop("--", "ziet", "actions", "", ZIET_COMPLETE="fish", ZIET_PYTHON=str(evil))
    assert (shop.folder / "imported").exists()


def environment(shop: Project, ziet: Ziet) -> dict[str, str]:
    path = f"{PROGRAM.parent}{os.pathsep}{ziet.environment['PATH']}"
    return ziet.environment | {"PATH": path, "PWD": str(shop.folder), "TERM": "xterm"}


SET_UP = {
    "bash": "bind 'set bell-style none'; source <(ziet completions bash)",
    "zsh": "autoload -U compinit && compinit -u && source <(ziet completions zsh)",
}


@pytest.mark.parametrize("shell", SET_UP)
def test_a_name_is_completed_while_it_is_typed(ziet: Ziet, shop: Project, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    keyboard, screen = os.openpty()
    bare = {"bash": ["--norc", "--noprofile"], "zsh": ["-f"]}[shell]
    process = subprocess.Popen(
        [shell, *bare, "-i"],
        cwd=shop.folder,
        env=environment(shop, ziet) | {"PS1": "ready> "},
        stdin=screen,
        stdout=screen,
        stderr=screen,
        start_new_session=True,
    )
    os.close(screen)
    seen = b""

    def until(text: str) -> None:
        nonlocal seen
        while text.encode() not in seen:
            read = os.read(keyboard, 4096)
            assert read, seen
            seen += read
        seen = seen.partition(text.encode())[2]

    def type_in(text: str) -> None:
        os.write(keyboard, text.encode())

    try:
        until("ready> ")
        type_in(f"{SET_UP[shell]}; echo set up'.'\n")
        until("set up.")
        until("ready> ")
        type_in("ziet run --local action pla\t")
        until("ce_order")
        type_in("-p it\t")
        until("ems=")
        type_in("'[\"pen\"]'\n")
        until('Result stored in memory: {"ordered": ["pen"]}')
        until("ready> ")
        type_in("exit\n")
        assert process.wait() == 0
    finally:
        process.kill()
        process.wait()
        os.close(keyboard)


def test_fish_offers_actions_with_their_descriptions(ziet: Ziet, shop: Project) -> None:
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    asked = subprocess.run(
        ["fish", "--no-config", "-c", "ziet completions fish | source; complete -C 'ziet run --local action pla'"],
        cwd=shop.folder,
        env=environment(shop, ziet),
        capture_output=True,
        text=True,
    )

    assert (asked.returncode, asked.stdout, asked.stderr) == (0, "place_order\tPlaces an order\n", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "elvish", "powershell"])
def test_each_shell_has_its_script(ziet: Ziet, shell: str) -> None:
    script = Project(ziet, ziet.scratch)("completions", shell)

    assert (script.status, script.err) == (0, "")
    assert "ZIET_COMPLETE" in script.out
    assert ("other -S ''" in script.out) == (shell == "zsh")
    assert sys.prefix not in script.out
