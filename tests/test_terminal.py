"""Colours and emoji: in a terminal that can show them, and nowhere else."""

from __future__ import annotations

import re

import pytest
from inline_snapshot import external_file

from program import Project, Ziet
from shown import file_of, masked

ESCAPE = "\x1b["


def in_terminal(project: Project, *arguments: str, **environment: str) -> str:
    running, _ = project.start_in_terminal("run", "--local", "action", *arguments, **environment)
    done = running.finish()
    assert done.out
    return done.out.replace("\r\n", "\n")


def test_a_terminal_gets_colours_and_emoji(ziet: Ziet) -> None:
    out = in_terminal(ziet.project("page"), "my_action")

    assert out.startswith("🧪 Running action locally: my_action\n")
    assert f"{ESCAPE}2m[INFO]{ESCAPE}0m Memory added: key=result, value=10\n" in out
    assert out.endswith('Result stored in memory: {"result": 10}\n')


def test_no_color_keeps_the_emoji(ziet: Ziet) -> None:
    out = in_terminal(ziet.project("page"), "my_action", NO_COLOR="1")

    assert out.startswith("🧪 Running action locally: my_action\n")
    assert ESCAPE not in out


@pytest.mark.parametrize("action", ["my_action", "calculate_tax"])
def test_a_dumb_terminal_gets_neither(ziet: Ziet, action: str) -> None:
    out = in_terminal(ziet.project("page"), action, TERM="dumb")

    assert out.partition("Running action locally: ")[0] in ("", 'note: test data: amount=10.0, region="CA"\n')
    assert "[OK] Local run completed\n" in out
    assert out.isascii()
    assert ESCAPE not in out


def test_a_pipe_gets_no_colours(ziet: Ziet) -> None:
    done = ziet.project("page").run("my_action", TERM="xterm-256color")

    assert done.out.startswith("🧪")
    assert ESCAPE not in done.out


def test_a_pipe_gets_emoji_whatever_the_terminal(ziet: Ziet) -> None:
    assert ziet.project("page").run("my_action", TERM="dumb").out.startswith("🧪")


def test_ascii_in_a_terminal(ziet: Ziet) -> None:
    out = in_terminal(ziet.project("page"), "my_action", "--ascii")

    assert out.startswith("Running action locally: my_action\n")
    assert out.isascii()


STYLES = {"0": "</>", "1": "<bold>", "2": "<dim>", "31": "<red>", "32": "<green>", "33": "<yellow>", "36": "<cyan>"}


def with_styles_visible(text: str) -> str:
    return re.sub(r"\x1b\[(\d+)m", lambda match: STYLES[match[1]], text)


@pytest.mark.parametrize(
    ("name", "action", "options", "environment"),
    [
        ("colours", "raises_with_locals", ["--locals"], {}),
        ("no_color", "raises_with_locals", ["--locals"], {"NO_COLOR": "1"}),
        ("dumb", "raises_with_locals", ["--locals"], {"TERM": "dumb"}),
        ("recursion", "raises_deep", [], {}),
        ("chain", "wraps_child", [], {}),
        ("retry", "fails_twice", ["--no-backoff"], {}),
    ],
)
def test_a_failure_in_a_terminal(
    ziet: Ziet, name: str, action: str, options: list[str], environment: dict[str, str]
) -> None:
    project = ziet.project("failures")

    out = in_terminal(project, action, *options, **environment)

    assert with_styles_visible(masked(project, out)) == external_file(file_of("terminal", name))


def test_what_is_raised_steers_no_terminal(ziet: Ziet) -> None:
    out = in_terminal(ziet.project("failures"), "raises_escapes", NO_COLOR="1")

    assert ESCAPE[0] not in out
    assert "\r" not in out
