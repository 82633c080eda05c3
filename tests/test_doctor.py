"""`ziet doctor`: what it looks at, and what it says where something is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from program import PROGRAM, Project, Ziet

ACTIONS = "from ziet import Action\n@Action(description='d')\ndef f(): ...\n@Action(description='d')\ndef g(): ...\n"

Checks = dict[str, tuple[str, str, str]]


def doctor(project: Project, *arguments: str, status: int = 0, **environment: str) -> Checks:
    """Each check with its status, what was found, and the advice."""
    done = project("doctor", "--json", *arguments, **environment)
    assert (done.status, done.err) == (status, "")
    return {row["check"]: (row["status"], row["found"], row["advice"] or "") for row in done.document}


def interpreter(ziet: Ziet, script: str) -> str:
    """An interpreter that is this shell script."""
    path = ziet.scratch / "interpreter"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_everything_is_looked_at(ziet: Ziet) -> None:
    project = ziet.write({"ziet.toml": "concurrency = 2", "actions.py": ACTIONS})

    checks = doctor(project)

    assert " ".join(checks) == (
        "ziet project python sdk msgspec docstring_parser actions "
        "system landlock privileges cgroup pidfd sandbox off sandbox on disk open files processes"
    )
    assert checks["ziet"][1].endswith(f" at {PROGRAM.resolve()}")
    assert checks["project"] == ("ok", f"{project.folder} (it has a ziet.toml)", "")
    version = ".".join(map(str, sys.version_info[:3]))
    found = {"VIRTUAL_ENV": f"{sys.prefix}/bin/python3", "beside ziet": str(PROGRAM.parent / "python3")}
    assert checks["python"][0] == "ok"
    assert checks["python"][1] in [f"{version} at {path} ({why})" for why, path in found.items()]
    assert checks["actions"] == ("ok", "2 actions in 1 module", "")
    assert checks["sandbox off"][1].startswith("in use: what is left is ended by ")
    assert checks["sandbox off"][1].endswith("; memory: RLIMIT_DATA and watching")
    assert checks["disk"][1].endswith(f" ms to flush 4 KB (fdatasync, in {project.folder})")
    assert set(os.listdir(project.folder)) <= {"ziet.toml", "actions.py", "__pycache__"}
    assert all((status == "ok") == (advice == "") for status, _, advice in checks.values())


def test_root_is_warned(ziet: Ziet) -> None:
    status, found, _ = doctor(ziet.write({"actions.py": ACTIONS}))["privileges"]

    if os.geteuid() == 0:
        assert (status, found) == ("warning", "ziet is run by root, and so is the code of actions")
    else:
        assert (status, found) == ("ok", "not root; no-new-privileges can be set")


def test_a_folder_without_a_project_is_told(ziet: Ziet) -> None:
    checks = doctor(ziet.write({"notes.txt": ""}))

    assert checks["project"][1].endswith("/project (there is no ziet.toml and no [tool.ziet], here or above)")
    status, found, advice = checks["actions"]
    assert (status, found) == ("warning", "0 actions in 0 modules")
    assert advice


def test_a_module_that_does_not_import_is_a_problem(ziet: Ziet) -> None:
    checks = doctor(ziet.write({"actions.py": ACTIONS, "broken.py": "import ziet, nowhere\n"}), status=1)

    assert checks["actions"] == (
        "problem",
        "2 actions in 2 modules; module broken does not import, so its actions are missing: "
        "ModuleNotFoundError: No module named 'nowhere'",
        "`ziet actions` shows the traceback",
    )


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("echo 'no library' >&2; exit 3", "exit status: 3: no library"),
        ("echo hello", 'its answer is not understood: "hello\\n"'),
        ("kill -9 $$", "signal: 9 (SIGKILL): "),
    ],
)
def test_an_interpreter_that_does_not_work_is_a_problem(ziet: Ziet, script: str, found: str) -> None:
    python = interpreter(ziet, script)
    checks = doctor(ziet.write({"actions.py": ACTIONS}), "--python", python, status=1)

    assert checks["python"][:2] == ("problem", f"{python}: {found}")
    assert "--python" in checks["python"][2]
    assert "disk" in checks
    assert "actions" not in checks


def test_an_interpreter_that_is_missing_is_a_problem(ziet: Ziet) -> None:
    checks = doctor(ziet.write({"actions.py": ACTIONS}), status=1, ZIET_PYTHON="nopython")

    assert checks["python"][:2] == (
        "problem",
        "ZIET_PYTHON=nopython: there is no program of this name on the path",
    )


OLD = """
import sys, types
import docstring_parser, msgspec

ziet = sys.modules["ziet"] = types.ModuleType("ziet")
ziet.__version__, ziet.__file__ = "0.0.1", "/x/ziet/__init__.py"
ziet.__path__ = PATH
sys.version_info = (3, 9, 2, "final", 0)
asked = sys.argv.index("-c") + 1
sys.argv, code = ["-c", *sys.argv[asked + 1 :]], sys.argv[asked]
exec(code)
"""
"""Makes of this interpreter an old one that has an old package."""


def test_an_old_interpreter_and_an_old_package_are_told(ziet: Ziet) -> None:
    old = ziet.scratch / "old.py"
    old.write_text(OLD.replace("PATH", repr([str(ziet.scratch)])))
    python = interpreter(ziet, f'exec {sys.executable} {old} "$@"')
    (ziet.scratch / "_zygote.py").touch()

    checks = doctor(ziet.write({"actions.py": ACTIONS}), "--python", python, status=1)

    assert checks["python"][:2] == ("problem", f"3.9.2 at {python} (--python)")
    assert checks["python"][2].startswith("name one of version 3.10 or later")
    status, found, advice = checks["sdk"]
    assert (status, found) == ("warning", "0.0.1 at /x/ziet")
    assert "`make build`" in advice


def test_another_package_of_the_same_name_is_a_problem(ziet: Ziet) -> None:
    other = ziet.scratch / "other.py"
    other.write_text(OLD.replace("PATH", "[]"))
    python = interpreter(ziet, f'exec {sys.executable} {other} "$@"')
    project = ziet.write({"actions.py": ACTIONS})

    status, found, advice = doctor(project, "--python", python, status=1)["sdk"]
    assert (status, found) == (
        "problem",
        "ImportError: what is at /x/ziet/__init__.py is another package of this name",
    )
    assert "`make build`" in advice
    done = project("actions", "--python", python)
    assert done.status == 1
    assert "another package of that name at /x/ziet/__init__.py: `make build`" in done.err
    assert "pip install" not in done.err


def test_a_missing_package_is_a_problem(ziet: Ziet) -> None:
    python = interpreter(ziet, f'exec {sys.executable} -I -S "$@"')
    checks = doctor(ziet.write({"actions.py": ACTIONS}), "--python", python, status=1)

    assert checks["msgspec"] == (
        "problem",
        "ModuleNotFoundError: No module named 'msgspec'",
        f"{python} -m pip install msgspec",
    )


def test_wrong_settings_are_a_problem_and_not_the_end(ziet: Ziet) -> None:
    checks = doctor(ziet.write({"ziet.toml": "modul = 1"}), status=1)

    assert checks["settings"] == (
        "problem",
        "ziet.toml, line 1: there is no setting `modul`",
        "did you mean `modules`?",
    )
    assert "landlock" in checks


def test_narrow_limits_are_warned_of(ziet: Ziet) -> None:
    project = ziet.write({"ziet.toml": "concurrency = 20", "actions.py": ACTIONS})
    done = subprocess.run(
        ["/bin/sh", "-c", 'ulimit -n 200; exec "$0" doctor --json', PROGRAM],
        cwd=project.folder,
        env=ziet.environment,
        capture_output=True,
        check=True,
        text=True,
    )

    [files] = [row for row in json.loads(done.stdout) if row["check"] == "open files"]
    assert (files["status"], files["found"]) == ("warning", "200")
    assert files["advice"].startswith("20 attempts at the same time may need 224: ulimit -n 224")


def test_a_disk_that_cannot_be_used_is_told(ziet: Ziet) -> None:
    project = ziet.write({"x.txt": ""})
    status, found, advice = doctor(project, "--project", "/proc/self/fdinfo", ZIET_MODULES="json")["disk"]

    assert status == "warning"
    assert advice
    assert "cannot be written to" in found


def test_a_disk_that_does_not_flush_is_told(ziet: Ziet) -> None:
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    if not any(mount[1:3] == ["/dev/shm", "tmpfs"] for mount in mounts):
        pytest.skip("no tmpfs")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        status, _, advice = doctor(ziet.write({"x.txt": ""}), "--project", folder)["disk"]
        assert not os.listdir(folder)

    assert status == "warning"
    assert "tmpfs" in advice


def test_the_table_fits_every_terminal(ziet: Ziet) -> None:
    project = ziet.write({"ziet.toml": "concurrency = 2", "actions.py": ACTIONS})
    project.columns = 60
    running, _ = project.start_in_terminal("doctor", "--ascii", "--color=never")
    screen = running.finish()

    assert screen.status == 0
    assert screen.out.isascii()
    lines = screen.out.splitlines()
    assert lines[0] == "check             status   found"
    assert lines[1].startswith("ziet              ok       ")
    assert "actions           ok       2 actions in 1 module" in lines
    assert max(map(len, lines)) <= 60
    piped = project("doctor").out.splitlines()
    advice = [line for line in piped if line.startswith(" ")]
    assert len(piped) - len(advice) == 1 + len(doctor(project))
    assert all(line.lstrip().startswith("→ ") for line in advice)
