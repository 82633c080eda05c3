"""Where settings come from, what wins, and how what is wrong with them is told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot

from program import PROGRAM, Project, Result, Ziet, waits

ESCAPE = "\x1b["

ACTIONS = """
import sys, threading, time
from ziet import Action, memory

@Action(description="Says which Python")
def python() -> str:
    return sys.executable

@Action(description="Fails", retries=2)
def fails() -> None:
    raise ValueError("no")

@Action(description="Returns what it is given")
def pay(amount: int = 1, when: str = "", note: str | None = None) -> dict:
    return {"amount": amount, "when": when, "note": note}

@Action(description="Takes a while")
def part() -> list[float]:
    began = time.monotonic()
    time.sleep(0.1)
    return [began, time.monotonic()]

@Action(description="Calls several at the same time")
def whole() -> list[list[float]]:
    parts = []
    threads = [threading.Thread(target=lambda: parts.append(part())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(parts)
"""


def shop(ziet: Ziet, file: str = "", **files: str) -> Project:
    return ziet.write({"ziet.toml": file, "actions.py": ACTIONS, **files})


def shown(project: Project, name: str, *arguments: str, **environment: str) -> tuple[Any, str]:
    """The value of a setting, and where it came from."""
    done = project("settings", name, "--json", *arguments, **environment)
    assert (done.status, done.err) == (0, "")
    return done.document["value"], done.document["from"]


def in_terminal(project: Project, *arguments: str, columns: int = 60, **environment: str) -> str:
    project.columns = columns
    running, _ = project.start_in_terminal(*arguments, **environment)
    done = running.finish()
    assert done.status == 0
    return done.out.replace("\r\n", "\n")


def test_a_flag_goes_before_a_variable_and_that_before_the_file(ziet: Ziet) -> None:
    project = shop(ziet, 'name = "shop"\nconcurrency = 3\n')

    assert shown(project, "concurrency", "--concurrency=5", ZIET_CONCURRENCY="4") == (5, "--concurrency")
    assert shown(project, "concurrency", ZIET_CONCURRENCY="4") == (4, "ZIET_CONCURRENCY")
    assert shown(project, "concurrency", ZIET_CONCURRENCY="") == (3, "ziet.toml line 2")
    assert shown(shop(ziet), "concurrency") == (4 * len(os.sched_getaffinity(0)), "default")


def test_each_setting_can_be_set_where_it_says_so(ziet: Ziet) -> None:
    variables = {"NAME": "shop", "MODULES": "a, b.c", "PYTHON": "p", "CONCURRENCY": "7", "BACKOFF": "false"} | {
        "ASCII": "1",
        "COLOR": "always",
        "START": "spawn",
        "SANDBOX": "on",
        "EXECUTOR_ATTEMPTS": "2",
        "EXECUTOR_GROWTH": "3",
        "EXECUTOR_IDLE": "4",
    }
    values = {"name": "shop", "modules": ["a", "b.c"], "python": "p", "concurrency": 7, "backoff": False} | {
        "ascii": True,
        "color": "always",
        "start": "spawn",
        "sandbox": "on",
        "executor_attempts": 2,
        "executor_growth": 3,
        "executor_idle": 4,
    }
    file = (
        'name = "shop"\nmodules = ["a", "b.c"]\npython = "p"\nconcurrency = 7\nbackoff = false\n'
        'ascii = true\ncolor = "always"\nstart = "spawn"\nsandbox = "on"\n'
        "executor_attempts = 2\nexecutor_growth = 3\nexecutor_idle = 4\n"
    )

    by_variables = shop(ziet)("settings", "--json", **{f"ZIET_{name}": value for name, value in variables.items()})
    assert {row["name"]: row["value"] for row in by_variables.document if row["from"].startswith("ZIET_")} == values
    by_file = shop(ziet, file)("settings", "--json").document
    assert {row["name"]: row["value"] for row in by_file if row["from"].startswith("ziet.toml line ")} == values
    # Those of a server are flags of `serve` alone.
    flags = shop(ziet)("settings", "--help").out
    for row in by_file:
        flag = row["flag"]
        if flag is not None and flag.split()[0] in flags:
            value = {"DIR": ".", "PATH|NAME": "p", "N": "7", "WHEN": "never", "on|off": "on"}.get(
                flag.partition(" ")[2]
            )
            given = [flag.split()[0], value] if value else [flag]
            assert shown(shop(ziet), row["name"], *given)[1] == flag.split()[0]


def test_what_a_system_has_is_left_unused_by_name(ziet: Ziet) -> None:
    assert shown(shop(ziet), "without") == ([], "default")
    assert shown(shop(ziet), "without", ZIET_WITHOUT="landlock, cgroup") == (["landlock", "cgroup"], "ZIET_WITHOUT")

    wrong = shop(ziet)("settings", ZIET_WITHOUT="selinux")
    assert wrong.status == 2
    assert "ZIET_WITHOUT=selinux: expected names among landlock, namespaces and cgroup" in wrong.err


def test_pyproject_holds_settings_too(ziet: Ziet) -> None:
    project = ziet.write({"pyproject.toml": '[project]\nname = "shop"\n[tool.ziet]\nconcurrency = 2\n'})

    assert shown(project, "name") == ("shop", "pyproject.toml line 2")
    assert shown(project, "concurrency") == (2, "pyproject.toml line 4")


def test_packaging_names_a_project_without_settings(ziet: Ziet) -> None:
    project = ziet.write({"pyproject.toml": '[project]\nname = "shop"\n', "actions.py": ACTIONS})

    assert shown(project, "name") == ("shop", "pyproject.toml line 2")
    assert shown(project, "name", ZIET_NAME="x") == ("x", "ZIET_NAME")
    (project.folder / "ziet.toml").touch()
    assert shown(project, "name") == ("shop", "pyproject.toml line 2")
    (project.folder / "pyproject.toml").write_text("[project]\nname = 3\n")
    assert shown(project, "name") == ("project", "default")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pyproject.toml", "no toml, but ziet"),
        ("pyproject.toml", b"\xff"),
        ("pyproject.toml", None),
        ("ziet.toml", None),
    ],
)
def test_what_is_wrong_above_is_passed_over_unless_it_is_for_ziet(
    ziet: Ziet, name: str, text: str | bytes | None
) -> None:
    project = ziet.write({"actions.py": ACTIONS}, "above/project")
    above = project.folder.parent / name
    if text is None:
        above.mkdir()
    else:
        above.write_bytes(text if isinstance(text, bytes) else text.encode())

    assert shown(project, "project") == (str(project.folder), "default")
    below = Project(ziet, project.folder.parent)
    assert below("settings").status == 2


@pytest.mark.parametrize(
    ("name", "text"), [("ziet.toml", "="), ("pyproject.toml", "[tool.ziet]\n="), ("pyproject.toml", "[tool]\nziet = 1")]
)
def test_a_wrong_file_of_the_project_above_is_told(ziet: Ziet, name: str, text: str) -> None:
    project = ziet.write({"actions.py": ACTIONS}, "above/project")
    (project.folder.parent / name).write_text(text)

    done = project("settings")

    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"error: {project.folder.parent}/{name}, line ")


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ('modul = ["a"]', "ziet.toml, line 1: there is no setting `modul`\nhint: did you mean `modules`?"),
        ("project = 1", "ziet.toml, line 1: `project` cannot be set in a file"),
        ("\nconcurrency = 'many'", "ziet.toml, line 2: concurrency = 'many': expected a whole number from 1 to 1000"),
        ("concurrency = 0", "ziet.toml, line 1: concurrency = 0: expected a whole number from 1 to 1000"),
        ("backoff = 1", "ziet.toml, line 1: backoff = 1: expected true or false"),
        ("color = 'red'", "ziet.toml, line 1: color = 'red': expected auto, always or never"),
        ("name = 2020-01-01", "ziet.toml, line 1: name = 2020-01-01: expected 1 to 128 of the characters"),
        (
            "modules = ['a.py']",
            "ziet.toml, line 1: modules = ['a.py']: expected names of modules, such as `shop.actions`",
        ),
        (
            "\nmodules = ['2024']",
            "ziet.toml, line 2: modules = ['2024']: expected names of modules, such as `shop.actions`",
        ),
        ("inputs = 3", "ziet.toml, line 1: inputs = 3: expected a table of parameters for each action id"),
        ("[inputs]\npay = 3", "ziet.toml, line 2: pay = 3: expected a table of parameters"),
        ("[inputs.pay]\nx = [\n nan]", "ziet.toml, line 2: x = nan: expected a number that JSON has"),
        ("name = 'a'\nname = 'b'", "ziet.toml, line 2, column 1: not TOML: duplicate key"),
        ("name = 'a", "ziet.toml, line 1, column 10: not TOML: "),
    ],
)
def test_what_is_wrong_in_the_file_is_told_with_its_place(ziet: Ziet, file: str, told: str) -> None:
    for arguments in (["settings"], ["actions"], ["run", "--local", "action", "pay"]):
        done = shop(ziet, file)(*arguments)
        assert (done.status, done.out) == (2, "")
        assert done.err.startswith(f"error: {told}"), done.err


@pytest.mark.parametrize(
    ("arguments", "environment", "told"),
    [
        (["--concurrency=x"], {}, "--concurrency=x: expected a whole number from 1 to 1000"),
        ([], {"ZIET_CONCURRENCY": "abc"}, "ZIET_CONCURRENCY=abc: expected a whole number from 1 to 1000"),
        ([], {"ZIET_MODULES": "a,.b"}, "ZIET_MODULES=a,.b: expected names of modules, such as `shop.actions`"),
        ([], {"ZIET_ASCII": "yes"}, "ZIET_ASCII=yes: expected true or false"),
        (["--project", "nowhere"], {}, "--project=nowhere: there is no such folder"),
        (
            [],
            {"ZIET_PROJECT": "ziet.toml"},
            "ZIET_PROJECT=ziet.toml: it is a file; name the folder that it is in",
        ),
        (["--concurrency", "-1"], {}, "--concurrency=-1: expected a whole number from 1 to 1000"),
        ([], {"ZIET_NAME": "a/b"}, "ZIET_NAME=a/b: expected 1 to 128 of the characters A-Z a-z 0-9 _ . : -"),
        (
            [],
            {"ZIET_NAME": "a" * 129},
            f"ZIET_NAME={'a' * 129}: expected 1 to 128 of the characters A-Z a-z 0-9 _ . : -",
        ),
    ],
)
def test_a_wrong_value_names_its_source(
    ziet: Ziet, arguments: list[str], environment: dict[str, str], told: str
) -> None:
    done = shop(ziet)("settings", *arguments, **environment)

    assert (done.status, done.out, done.err) == (2, "", f"error: {told}\n")


def test_a_project_is_called_what_its_folder_is_in_characters_that_fit_everywhere(ziet: Ziet) -> None:
    assert shown(ziet.write({"ziet.toml": ""}, "my shop (2)"), "name") == ("my-shop--2", "default")
    assert shown(ziet.write({"ziet.toml": ""}, "a" * 200), "name") == ("a" * 128, "default")
    done = shop(ziet, 'name = "a\\nb"')("settings")
    assert (done.status, done.err.partition(" expected ")[0]) == (2, 'error: ziet.toml, line 1: name = "a\\nb":')


def test_two_tables_of_settings_are_one_too_many(ziet: Ziet) -> None:
    done = shop(ziet, **{"pyproject.toml": "[project]\n[tool.ziet]\n"})("settings")

    assert done.err == (
        "error: pyproject.toml, line 2: the table [tool.ziet] stands beside a ziet.toml\n"
        "hint: keep the settings in one of the two\n"
    )


def test_a_variable_with_a_typing_mistake_is_warned_of(ziet: Ziet) -> None:
    done = shop(ziet).run("python", ZIET_CONCURENCY="2", ZIET_HOME="x", ZIET_RUN_ID="x", ZIET_MODE="x")

    assert done.status == 0
    assert done.err == ("warning: the variable ZIET_CONCURENCY means nothing to ziet; did you mean ZIET_CONCURRENCY?\n")


def test_an_unknown_setting_gives_the_nearest(ziet: Ziet) -> None:
    done = shop(ziet)("settings", "colour")

    assert (done.status, done.err) == (2, "error: there is no setting `colour`\nhint: did you mean `color`?\n")


def elsewhere(ziet: Ziet, *arguments: str, **environment: str) -> Result:
    """Runs in a folder beside the project."""
    (ziet.scratch / "beside").mkdir(exist_ok=True)
    return Project(ziet, ziet.scratch / "beside")(*arguments, **environment)


def test_another_folder_can_be_chosen(ziet: Ziet) -> None:
    project = shop(ziet, 'name = "shop"\n', **{"deep/er/x.txt": ""})

    for arguments, environment in (
        (["--project", "../project"], {}),
        (["--project", "../project/deep/er"], {}),
        ([], {"ZIET_PROJECT": str(project.folder)}),
    ):
        document = elsewhere(ziet, "settings", "--json", *arguments, **environment).document
        settings = {row["name"]: row for row in document}
        assert settings["project"]["value"] == str(project.folder)
        assert settings["name"]["from"] == f"{project.folder}/ziet.toml line 1"
    assert elsewhere(ziet, "run", "--local", "action", "pay", "--project", "../project").status == 0
    assert elsewhere(ziet, "run", "--local", "action", "pay").status == 2


def test_the_interpreter_can_be_chosen(ziet: Ziet) -> None:
    project = shop(ziet, 'python = "env/python"\n', **{"deep/x.txt": "", "path/p.txt": ""})
    (project.folder / "env").mkdir()
    for place in ("env/python", "deep/python", "path/mypython"):
        (project.folder / place).write_text(f'#!/bin/sh\nexport WRAPPED={place}\nexec {sys.executable} "$@"\n')
        (project.folder / place).chmod(0o755)
    (project.folder / "actions.py").write_text(
        "import os\nfrom ziet import Action\n@Action(description='d')\ndef python() -> str:\n"
        "    return os.environ.get('WRAPPED', 'none')\n"
    )
    below = Project(ziet, project.folder / "deep")
    path = f"{project.folder}/path:{os.environ['PATH']}"

    assert below.run("python").said('returned "env/python"')
    assert below.run("python", "--python", "./python").said('returned "deep/python"')
    assert below.run("python", ZIET_PYTHON="./python").said('returned "deep/python"')
    assert below.run("python", "--python", "mypython", PATH=path).said('returned "path/mypython"')


@pytest.mark.parametrize(
    ("python", "told"),
    [
        ("env/none", 'python = "env/none": there is no such file'),
        ("nopython", 'python = "nopython": there is no program of this name on the path'),
    ],
)
def test_an_interpreter_that_is_not_there_is_told(ziet: Ziet, python: str, told: str) -> None:
    done = shop(ziet, f'python = "{python}"').run("python")

    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"error: ziet.toml, line 1: {told}\nhint: name an interpreter")


def test_concurrency_is_kept(ziet: Ziet) -> None:
    parts = shop(ziet, "concurrency = 1").run("whole", "--json").document["output"]

    assert len(parts) == 3
    assert parts[0][1] <= parts[1][0]
    assert parts[1][1] <= parts[2][0]


def test_the_file_can_switch_the_backoff_off(ziet: Ziet) -> None:
    assert max(waits(shop(ziet, "backoff = false").run("fails", "--json").document)) < 1


def test_the_file_decides_on_emoji_and_colour(ziet: Ziet) -> None:
    plain = shop(ziet, 'ascii = true\ncolor = "always"')

    assert plain.run("pay", "-p", "amount=1").out.startswith("Running action locally: pay\n")
    assert ESCAPE in plain.run("pay", NO_COLOR="1").out
    assert ESCAPE not in plain.run("pay", "--color", "never").out
    assert ESCAPE not in in_terminal(plain, "run", "--local", "action", "pay", ZIET_COLOR="never")
    assert ESCAPE not in in_terminal(shop(ziet), "settings", NO_COLOR="1")
    assert ESCAPE in shop(ziet)("settings", CLICOLOR_FORCE="1").out


def test_flags_and_variables_decide_on_the_look_of_errors_too(ziet: Ziet) -> None:
    project = shop(ziet, "modules = '" + "é" * 100 + "'")

    assert ESCAPE in project("settings", "--color", "always").err
    assert ESCAPE in project("settings", "--color", "always", ZIET_ASCII="wrong").err
    assert ESCAPE in project("settings", ZIET_COLOR="always").err
    assert ESCAPE not in project("settings", "--color", "never", ZIET_COLOR="always").err
    assert "…" in project("settings").err
    assert "…" not in project("settings", "--ascii").err
    assert "…" not in project("settings", ZIET_ASCII="1").err


def test_test_data_comes_from_the_file(ziet: Ziet) -> None:
    project = shop(ziet, "[inputs.'actions.pay']\namount = 0x10\nwhen = 2020-01-02T03:04:05Z\n")

    assert project.run("pay", "--json").document["input"] == {"amount": 16, "when": "2020-01-02T03:04:05Z"}
    assert project.run("pay", "--json", "-p", "amount=2").document["input"] == {"amount": 2}
    assert project.run("pay", "--json", "--input", "{}").document["input"] == {}


@pytest.mark.parametrize("arguments", [["actions"], ["run", "--local", "action", "pay"]])
def test_test_data_for_no_action_is_told(ziet: Ziet, arguments: list[str]) -> None:
    project = shop(ziet, '[inputs."actions.pay"]\n[inputs."actions.fail"]\n')

    done = project(*arguments)

    assert (done.status, done.out, done.err) == (
        2,
        "",
        'error: ziet.toml, line 2: [inputs."actions.fail"]: there is no action with this id\n'
        'hint: did you mean [inputs."actions.fails"]?\n',
    )
    (project.folder / "broken.py").write_text("import ziet, nowhere\n")
    # The module that does not import may have the action.
    assert project(*arguments).status == 0


def test_one_setting_is_explained(ziet: Ziet) -> None:
    assert shop(ziet)("settings", "color", "--color=never").out == snapshot("""\
color     When to print in colour
value     never
from      --color
expected  auto, always or never
default   auto
set by    --color WHEN, ZIET_COLOR, `color` in ziet.toml
since     0.1
details   `auto` is in terminals that can show it; it follows the variables NO_COLOR and CLICOLOR_FORCE.
""")


def test_tables_fit_the_terminal(ziet: Ziet) -> None:
    project = shop(ziet, 'color = "never"\n[inputs."actions.pay"]\nnote = "' + "long " * 30 + '"\n')

    assert max(len(line) for line in in_terminal(project, "settings").splitlines()) <= 60
    assert in_terminal(project, "settings", "concurrency", "--concurrency=2") == snapshot("""\
concurrency  How many attempts may execute at the same time
value        2
from         --concurrency
expected     a whole number from 1 to 1000
default      4 for each processor
set by       --concurrency N, ZIET_CONCURRENCY,
             `concurrency` in ziet.toml
since        0.1
details      Attempts that wait for actions that they have
             called do not count.
""")
    assert in_terminal(project, "limits", TERM="dumb") == in_terminal(project, "limits")
    assert in_terminal(project, "settings", "locals", "--ascii").isascii()
    piped = project("settings").out.splitlines()
    assert len(piped) == 1 + len(project("settings", "--json").document)


def test_colours_of_a_table(ziet: Ziet) -> None:
    lines = in_terminal(shop(ziet), "settings", "backoff").splitlines()

    assert lines[0].startswith(f"{ESCAPE}2mbackoff {ESCAPE}0m")
    assert lines[1] == f"{ESCAPE}36mvalue   {ESCAPE}0m  true"


def test_limits_are_listed(ziet: Ziet) -> None:
    project = shop(ziet)

    assert project("limits").out == snapshot("""\
limit                   value           beyond it
deployment              250 MB          `ziet deploy` refuses it, and so does the server
files of a deployment   100000          `ziet deploy` refuses them, and so does the server
import                  60 s            importing the project is given up
action id               128 characters  the decorator refuses it
timeout                 1 to 900 s      the decorator refuses it; beyond its own, an attempt is ended
attempt memory          16 MB to 10 GB  the decorator refuses it; beyond its own, an attempt is ended
scratch directory       512 MB          in a sandbox, the attempt is ended
retries                 100             the decorator refuses it
lost attempts in a row  5               with the last one the run fails; lost attempts use up no retries
call depth              50              the call raises an error
open calls              1000            the call raises an error
inputs of called runs   256 MB          the call raises an error
input                   6 MB            the run is refused
output                  6 MB            the run fails, without a retry
memory value            6 MB            memory.add raises an error
memory metadata         1 MB            memory.add raises an error; so does memory.search for its query and its filter
memory key              512 characters  memory.add raises an error
memory                  100 MB          memory.add raises an error
printed and logged      10 MB           the rest of the attempt's lines is dropped, and a line says so
line                    16 kB           the rest of the line is cut off, and the line says so
""")
    assert in_terminal(project, "limits", "--color=never") == snapshot("""\
limit                   value           beyond it
deployment              250 MB          `ziet deploy`
                                        refuses it, and so
                                        does the server
files of a deployment   100000          `ziet deploy`
                                        refuses them, and so
                                        does the server
import                  60 s            importing the
                                        project is given up
action id               128 characters  the decorator
                                        refuses it
timeout                 1 to 900 s      the decorator
                                        refuses it; beyond
                                        its own, an attempt
                                        is ended
attempt memory          16 MB to 10 GB  the decorator
                                        refuses it; beyond
                                        its own, an attempt
                                        is ended
scratch directory       512 MB          in a sandbox, the
                                        attempt is ended
retries                 100             the decorator
                                        refuses it
lost attempts in a row  5               with the last one
                                        the run fails; lost
                                        attempts use up no
                                        retries
call depth              50              the call raises an
                                        error
open calls              1000            the call raises an
                                        error
inputs of called runs   256 MB          the call raises an
                                        error
input                   6 MB            the run is refused
output                  6 MB            the run fails,
                                        without a retry
memory value            6 MB            memory.add raises an
                                        error
memory metadata         1 MB            memory.add raises an
                                        error; so does
                                        memory.search for
                                        its query and its
                                        filter
memory key              512 characters  memory.add raises an
                                        error
memory                  100 MB          memory.add raises an
                                        error
printed and logged      10 MB           the rest of the
                                        attempt's lines is
                                        dropped, and a line
                                        says so
line                    16 kB           the rest of the line
                                        is cut off, and the
                                        line says so
""")
    assert project("limits", "--json").document[4] == snapshot(
        {
            "name": "timeout",
            "least": 1,
            "most": 900,
            "unit": "seconds",
            "beyond": "the decorator refuses it; beyond its own, an attempt is ended",
        }
    )


def test_limits_are_those_that_python_checks(ziet: Ziet) -> None:
    """`_limits.py` is a copy: importing the program's table would cost every start."""
    from ziet import _limits

    most = {row["name"]: (row["least"], row["most"]) for row in shop(ziet)("limits", "--json").document}
    assert most["timeout"] == (_limits.MIN_TIMEOUT_SECONDS, _limits.MAX_TIMEOUT_SECONDS)
    assert most["retries"] == (0, _limits.MAX_RETRIES)
    assert most["input"] == most["output"] == most["memory value"] == (0, _limits.MAX_JSON_BYTES)
    assert most["memory metadata"] == (0, _limits.MAX_METADATA_BYTES)
    assert most["memory key"] == (0, _limits.MAX_KEY_LENGTH)
    assert most["memory"] == (0, _limits.MAX_MEMORY_BYTES)
    assert most["action id"] == (0, _limits.MAX_ID_LENGTH)


def test_help_needs_no_project(tmp_path: Path) -> None:
    (tmp_path / "ziet.toml").write_text("no toml")

    done = subprocess.run([PROGRAM, "--help"], cwd=tmp_path, env={}, capture_output=True, check=True, text=True)

    assert "--concurrency <N>" in done.stdout
    assert subprocess.run([PROGRAM, "limits"], cwd=tmp_path, env={}, capture_output=True, check=False).returncode == 0
