"""The files in deploy/: as far as they can be looked at without a systemd that runs, and without Docker."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from program import PROGRAM, REPOSITORY, Project, Ziet

DEPLOY = REPOSITORY / "deploy"
UNITS = ("ziet.service", "ziet.socket")
DOCKERFILE = (DEPLOY / "Dockerfile").read_text("utf-8")
ACTION = """
from ziet import Action

@Action(description="Does nothing")
def nothing() -> None: ...
"""
EXPOSED_AT_MOST = 40
"""Tenths of what `systemd-analyze security` counts: below it a service is `OK`."""

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


@pytest.fixture
def units(tmp_path: Path) -> list[str]:
    """The units, with the built program in the place of the one that they are about."""
    for unit in UNITS:
        text = (DEPLOY / unit).read_text("utf-8").replace("/opt/ziet/bin/ziet", str(PROGRAM))
        (tmp_path / unit).write_text(text, "utf-8")
    return [str(tmp_path / unit) for unit in UNITS]


def analyzed(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_units(units: list[str]) -> None:
    done = analyzed("verify", "--man=no", *units)

    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
def test_the_service_is_shut_in(units: list[str]) -> None:
    done = analyzed("security", "--offline=true", f"--threshold={EXPOSED_AT_MOST}", units[0])

    assert done.returncode == 0, done.stdout


def command(text: str, name: str) -> list[str]:
    """The words of the `ziet` command that a unit or a Dockerfile holds under this name."""
    found = re.search(rf"^{name}=?\s*(.+)$", text, re.MULTILINE)
    assert found
    return shlex.split(found[1].translate(str.maketrans("[],", "   ")))


def test_the_service_starts_what_the_program_has(ziet: Ziet) -> None:
    service = (DEPLOY / "ziet.service").read_text("utf-8")
    [_, *arguments] = command(service, "ExecStart")

    # Without the variable that systemd sets: an empty word is no folder, and everything else is understood.
    done = Project(ziet, ziet.scratch)(*(word for word in arguments if "$" not in word), "/", "--grace", "never")
    assert done.status == 2
    assert "--grace=never: expected a duration" in done.err


def test_the_image_has_settings_and_files_that_there_are(ziet: Ziet) -> None:
    settings = ziet.write({"actions.py": ""})("settings", "--json").document
    known = {f"ZIET_{setting['name'].upper()}" for setting in settings}
    assert set(re.findall(r"ZIET_[A-Z_]+", DOCKERFILE)) <= known
    version = re.search(r"maturin>=([\d.]+)", DOCKERFILE)
    assert version
    assert f"maturin>={version[1]}" in (REPOSITORY / "pyproject.toml").read_text("utf-8")


def test_the_image_does_not_run_as_root() -> None:
    [user] = re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE)
    assert user == "10001:10001"
    last_stage = DOCKERFILE.rpartition("\nFROM ")[2]
    assert last_stage.index("USER 10001") < last_stage.index("ENTRYPOINT")
    assert last_stage.index("/var/lib/ziet\n") < last_stage.index("VOLUME /var/lib/ziet")


def test_the_image_does_not_listen_before_it_is_told_what_protects_the_keys(ziet: Ziet) -> None:
    environment = dict(re.findall(r"(ZIET_[A-Z]+)=(\S+)", DOCKERFILE.rpartition("\nENV ")[2].partition("\nEXPOSE")[0]))
    assert environment.pop("ZIET_STATE") == "/var/lib/ziet"
    done = ziet.write({"actions.py": ""})("serve", **environment)

    assert done.status == 2
    assert "--behind-proxy" in done.err


def test_the_image_tells_whether_the_server_lives(ziet: Ziet) -> None:
    check = re.search(r"HEALTHCHECK.*?CMD (\[.*?\])$", DOCKERFILE, re.MULTILINE | re.DOTALL)
    assert check
    [_, *arguments] = json.loads(check[1])
    with ziet.serve(ziet.write({"actions.py": ACTION})) as server:
        address = server.url.removeprefix("http://")
        arguments = [word.replace("127.0.0.1:7878", address) for word in arguments]
        lives = subprocess.run([sys.executable, *arguments], check=False)
        server.stop()
        ended = subprocess.run([sys.executable, *arguments], check=False, capture_output=True)

    assert (lives.returncode, ended.returncode) == (0, 1)
