"""`ziet deploy` and what follows it, on a server that serves nothing but what is deployed on it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from program import Project, Result, Ziet
from server import PATIENCE_SECONDS, Server
from shut import SECRET
from wheels import Index, index_of

UV = Path(sys.executable).with_name("uv")

ACTIONS = """\
import os

import greeter
from ziet import Action


@Action(id="greet", description="Greets somebody")
def greet(name: str) -> str:
    return f"{greeter.GREETING}, {name}"


@Action(id="variable", description="Reads a variable")
def variable(name: str) -> str | None:
    return os.environ.get(name)
"""
ABOUT = """\
[project]
name = "shop"
version = "1"
requires-python = ">=3.10"
dependencies = ["ziet", "greeter>=1"]
"""
PLAIN = """\
from ziet import Action


@Action(id="add", description="Adds two numbers")
def add(x: int, y: int) -> int:
    return x + y
"""


@dataclass
class Site:
    """A server, an index for it, and somebody who deploys on it."""

    ziet: Ziet
    server: Server
    index: Index

    def write(self, files: dict[str, str], folder: str = "shop") -> Project:
        project = self.ziet.write(files, folder)
        self.ziet.environment |= {"ZIET_SERVER": self.server.url, "ZIET_API_KEY": self.server.key}
        return project

    def lock(self, project: Project) -> None:
        """Writes `uv.lock` as its author would."""
        subprocess.run([UV, "lock", "--quiet"], cwd=project.folder, env=self.environment, check=True)

    @property
    def environment(self) -> dict[str, str]:
        return self.ziet.environment | {
            "UV_DEFAULT_INDEX": self.index.url,
            "UV_CACHE_DIR": str(self.ziet.scratch / "uv"),
            "UV_PYTHON_DOWNLOADS": "never",
        }

    def project(self, **more: str) -> Project:
        """A project with a lock, whose package is in the index."""
        self.index.wheel("greeter", "1.0", {"greeter.py": "GREETING = 'Hello'\n"})
        self.index.wheel("ziet", "0.0.1", {"ziet/__init__.py": "raise RuntimeError('not the SDK of the server')\n"})
        project = self.write({"pyproject.toml": ABOUT, "actions.py": ACTIONS} | more)
        self.lock(project)
        return project

    def greeting(self, name: str = "Ada") -> Any:
        run = self.server.finished("greet", name=name)
        assert run["status"] == "completed", run["error"]
        return run["output"]


@pytest.fixture
def site(ziet: Ziet) -> Iterator[Site]:
    with index_of(ziet.scratch / "index") as index:
        nothing = ziet.write({"README": "no project"}, "nothing")
        with ziet.serve(nothing, UV_DEFAULT_INDEX=index.url, DATABASE_URL=SECRET) as server:
            yield Site(ziet, server, index)


def deployed(done: Result) -> dict[str, Any]:
    assert done.status == 0, done
    return done.document


def test_a_project_is_deployed_with_its_locked_packages(site: Site) -> None:
    project = site.project(**{".env": "KEY=1\n", "notes.csv": "", ".gitignore": "*.csv\n"})

    done = project("deploy")

    assert done.status == 0, done
    version = done.out.split()[1]
    assert done.out == f"Version {version} of shop is active: 2 actions\n  new      greet\n  new      variable\n"
    assert "+ greeter==1.0" in done.err
    assert "+ ziet" not in done.err
    assert site.greeting() == "Hello, Ada"
    code = site.server.state / "deployments" / "shop"
    [unpacked] = [folder / "code" for folder in code.iterdir()]
    assert sorted(file.name for file in unpacked.iterdir()) == [".gitignore", "actions.py", "pyproject.toml", "uv.lock"]


def test_the_same_content_is_not_sent_again_and_an_environment_is_built_once(site: Site) -> None:
    project = site.project()
    first = deployed(project("deploy", "--json"))

    again = project("deploy", "--json")

    assert deployed(again)["id"] == first["id"]
    assert deployed(again)["changes"] == {"new": [], "gone": [], "changed": {}}
    assert "greeter" not in again.err
    source = project.folder / "actions.py"
    source.write_text(
        source.read_text().replace("{name}", "dear {name}").replace("name: str) -> str:", "name: str = '') -> str:")
    )
    other = project("deploy", "--json")
    assert deployed(other)["version"] != first["version"]
    assert deployed(other)["changes"] == {"new": [], "gone": [], "changed": {"greet": ["parameters"]}}
    assert "the environment is there already" in other.err
    assert site.greeting() == "Hello, dear Ada"
    assert len(list((site.server.state / "environments").glob("*/ready"))) == 1


@pytest.mark.parametrize("source", ["requirements.txt", "pyproject.toml"])
def test_dependencies_may_stand_without_a_lock(site: Site, source: str) -> None:
    site.index.wheel("greeter", "1.0", {"greeter.py": "GREETING = 'Hello'\n"})
    files = {"actions.py": ACTIONS, "pyproject.toml": ABOUT}
    if source == "requirements.txt":
        files |= {"pyproject.toml": '[project]\nname = "shop"\n', source: "ziet\ngreeter==1.0\n"}

    done = site.write(files)("deploy")

    assert done.status == 0, done
    assert f"dependencies of {source}" in done.err
    assert site.greeting() == "Hello, Ada"


def test_a_project_without_dependencies_needs_no_environment(site: Site) -> None:
    project = site.write({"ziet.toml": 'name = "plain"\n', "actions.py": PLAIN}, "plain")

    done = project("deploy")

    assert done.status == 0, done
    assert "no dependencies: executed by Python" in done.err
    assert site.server.finished("add", x=1, y=2)["output"] == 3


def test_what_is_left_out_can_be_seen_before(site: Site) -> None:
    key = "-----BEGIN PRIVATE KEY-----\n"
    files = {"actions.py": PLAIN, ".env": "KEY=1\n", "id.txt": key, "big.csv": "", ".zietignore": "*.csv\n"}
    project = site.write(files, "plain")

    shown = project("deploy", "--dry-run")
    document = project("deploy", "--list", "--json").document

    assert shown.status == 0, shown
    assert [line.split()[0] for line in shown.out.splitlines() if line] == [
        "deployed", ".zietignore", "actions.py", "left", ".env", "big.csv", "id.txt",
    ]  # fmt: skip
    assert [file["name"] for file in document["files"]] == [".zietignore", "actions.py"]
    reasons = {left["name"]: left["reason"] for left in document["left_out"]}
    assert reasons["id.txt"] == "private key"
    assert reasons["big.csv"] == "`*.csv` in .zietignore"
    assert not list(site.server.state.glob("deployments/*"))


NOWHERE = "http://127.0.0.1:1/x-1.0-py3-none-any.whl"
BROKEN = {
    "import": ({"actions.py": "import ziet\n1 / 0\n"}, ["ZeroDivisionError", "actions.py", "line 2"]),
    "no actions": ({"actions.py": "import greeter\nfrom ziet import Action\n"}, ["action"]),
    "definition": ({"actions.py": ACTIONS.replace('id="greet"', 'id="greet", tries=3')}, ["tries", "actions.py"]),
    "no versions": (
        {"pyproject.toml": ABOUT.replace(">=3.10", "/bin/sh")},
        ["pyproject.toml: requires-python: expected"],
    ),
    "no Python": ({"pyproject.toml": ABOUT.replace(">=3.10", ">=3.99")}, ["no Python on the server fits", ">=3.99"]),
    "no package": ({"requirements.txt": "missing-package\n", "uv.lock": ""}, ["missing-package"]),
    "other hash": ({"requirements.txt": f"greeter==1.0 --hash=sha256:{'0' * 64}\n", "uv.lock": ""}, ["Hash mismatch"]),
    "no network": ({"requirements.txt": f"x @ {NOWHERE}\n", "uv.lock": ""}, [NOWHERE]),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_version_never_serves_and_says_why(site: Site, broken: str) -> None:
    project = site.project()
    assert project("deploy").status == 0
    changed, told = BROKEN[broken]
    for name, text in changed.items():
        (project.folder / name).write_text(text)
        if not text:
            (project.folder / name).unlink()

    done = project("deploy")

    assert done.status == 1, done
    assert done.err.count("error: version") == 1
    message = done.err[done.err.index("error: version") :]
    assert all(text in message for text in told), message
    assert site.greeting() == "Hello, Ada"
    failed = [one for one in site.server.get("/v1/deployments")["data"] if one["status"] == "failed"]
    assert len(failed) == 1
    shown = project("deployments", "show", failed[0]["version"])
    assert all(text in shown.out for text in told)
    assert project("deployments", "logs", failed[0]["version"]).out


def test_versions_are_listed_and_taken_back(site: Site) -> None:
    project = site.project()
    versions = []
    for greeting in ("{greeter.GREETING}", "Hi", "Bye"):
        (project.folder / "actions.py").write_text(ACTIONS.replace("{greeter.GREETING}", greeting))
        versions.append(deployed(project("deploy", "--json"))["version"])

    assert site.greeting() == "Bye, Ada"
    assert deployed(project("rollback", "--json"))["version"] == versions[1]
    assert site.greeting() == "Hi, Ada"
    assert project("rollback", versions[0][:6]).out == f"Version {versions[0]} of shop is active: 2 actions\n"
    assert site.greeting() == "Hello, Ada"
    listed = project("deployments")
    rows = {line.split()[0]: line.split()[1] for line in listed.out.splitlines()[1:]}
    assert rows == {versions[0]: "active", versions[1]: "ready", versions[2]: "ready"}
    missing = project("rollback", "ffffffff")
    assert missing.status == 2
    assert "ffffffff" in missing.err


def test_variables_are_kept_by_the_server_and_go_before_those_of_the_file(site: Site) -> None:
    project = site.project(**{"ziet.toml": 'name = "shop"\n[env]\nLEVEL = "file"\nOTHER = "file"\n'})
    assert project("deploy").status == 0

    def read(name: str) -> Any:
        return site.server.finished("variable", name=name)["output"]

    assert (read("LEVEL"), read("OTHER"), read("DATABASE_URL")) == ("file", "file", None)
    text = "two\nlines"
    assert project("env", "set", "LEVEL", stdin=f"{text}\n").out == "Set LEVEL\n"
    assert (read("LEVEL"), read("OTHER")) == (text, "file")
    listed = project("env", "list")
    assert listed.out.splitlines()[1].split()[0] == "LEVEL"
    assert text not in project("env", "list", "--json").out
    site.server.restart()
    site.ziet.environment["ZIET_SERVER"] = site.server.url
    assert read("LEVEL") == text
    assert project("env", "rm", "LEVEL").out == "Removed LEVEL\n"
    assert read("LEVEL") == "file"
    for wrong in ("ZIET_X", "1X", "A-B", ""):
        refused = project("env", "set", wrong, stdin="x")
        assert refused.status == 2, refused
    assert project("env", "rm", "LEVEL").status == 2


def test_a_local_run_has_the_variables_of_the_file_unless_the_shell_has_them(ziet: Ziet) -> None:
    source = ACTIONS.replace("import greeter\n", "").replace("{greeter.GREETING}", "")
    project = ziet.write({"actions.py": source, "ziet.toml": '[env]\nLEVEL = "file"\n'})

    def read(**environment: str) -> Any:
        return project.run("variable", "-p", "name=LEVEL", "--json", **environment).document["output"]

    assert read() == "file"
    assert read(LEVEL="shell") == "shell"
    assert read(LEVEL="shell", ZIET_SANDBOX="on") == "file"
    wrong = ziet.write({"actions.py": source, "ziet.toml": "[env]\nLEVEL = 1\n"}, "wrong")("actions")
    assert (wrong.status, "ziet.toml, line 2: LEVEL = 1: expected text in quotes" in wrong.err) == (2, True)


SPIES = """
import json, os, subprocess
def tried(function, *arguments):
    try:
        return repr(function(*arguments))
    except BaseException as error:
        return type(error).__name__
def read(path):
    with open(path, "rb") as file:
        return file.read()
def write(path):
    with open(path, "w") as file:
        return file.write("x")
found = {{
    "key": tried(read, {key!r}),
    "store": tried(read, {store!r}),
    "environ": tried(read, "/proc/{pid}/environ"),
    "own environ": repr(dict(os.environ)),
    "parent": tried(read, f"/proc/{{os.getppid()}}/environ"),
    "outside": [tried(write, path) for path in {outside!r}],
    "link": {links} and tried(os.symlink, "/etc", os.environ["UV_PROJECT_ENVIRONMENT"] + "/share"),
}}
if {daemon}:
    subprocess.Popen(["setsid", "sh", "-c", "sleep 600 & exec sleep 600"], stdout=-3, stderr=-3)
text = f"GREETING = {{json.dumps(found)!r}}\\n"
"""


def spies(site: Site, *, links: bool = False, daemon: bool = False) -> Project:
    """A project of which a package is built from its source, and looks round when it is."""
    state = site.server.state
    outside = [str(folder / "spied") for folder in (state, state / "environments", site.ziet.scratch, Path("/tmp"))]
    code = SPIES.format(
        key=str(state / "admin.key"),
        store=str(state / "ziet.db"),
        pid=site.server.process.pid,
        outside=[*outside, str(Path.home() / "spied"), "/usr/lib/spied"],
        links=links,
        daemon=daemon,
    )
    site.index.source("greeter", "1.0", code)
    return site.write({"actions.py": ACTIONS, "requirements.txt": "greeter\n"})


def test_what_is_built_sees_and_changes_nothing_of_the_server(site: Site) -> None:
    done = spies(site)("deploy")

    assert done.status == 0, done
    text = site.greeting().removesuffix(", Ada")
    found = json.loads(text)
    refused = {"PermissionError", "FileNotFoundError", "OSError", "ProcessLookupError"}
    assert {found["key"], found["store"], *found["outside"]} <= refused, found
    assert site.server.key not in text
    assert SECRET not in text
    for process in ("environ", "parent"):
        assert found[process] in refused or SECRET not in found[process]
    assert not [path for path in site.ziet.scratch.rglob("spied") if path.exists()]


def test_an_environment_that_leads_out_of_itself_is_refused(site: Site) -> None:
    done = spies(site, links=True)("deploy")

    assert done.status == 1, done
    assert "`share`" in done.err
    assert not list((site.server.state / "environments").glob("*/ready"))


@pytest.mark.parametrize("sandbox", ["on", "off"])
def test_what_a_build_leaves_behind_is_ended(ziet: Ziet, sandbox: str) -> None:
    with index_of(ziet.scratch / "index") as index:
        nothing = ziet.write({"README": "no project"}, "nothing")
        with ziet.serve(nothing, "--sandbox", sandbox, UV_DEFAULT_INDEX=index.url) as server:
            done = spies(Site(ziet, server, index), daemon=True)("deploy")
            assert done.status == 0, done
            below = psutil.Process(server.process.pid).children(recursive=True)
            assert [process for process in below if process.name() == "sleep"] == []


WAITS = """
import time, urllib.error, urllib.request
while True:
    try:
        urllib.request.urlopen("{url}").close()
        break
    except urllib.error.HTTPError:
        time.sleep(0.05)
text = "GREETING = 'Hello'"
"""


def test_a_build_whose_server_is_killed_is_done_again(site: Site) -> None:
    site.index.source("greeter", "1.0", WAITS.format(url=f"{site.index.url}/go"))
    project = site.write({"actions.py": ACTIONS, "requirements.txt": "greeter\n"})
    deploying = project.start("deploy")
    end = time.monotonic() + PATIENCE_SECONDS
    while not (building := building_below(site)):
        assert time.monotonic() < end
    site.server.kill()
    deploying.process.kill()
    deploying.finish()
    _, alive = psutil.wait_procs(building, timeout=PATIENCE_SECONDS)
    assert not alive
    assert not list((site.server.state / "environments").glob("*/ready"))

    site.index.allow("go")
    site.server.restart()

    site.server.logged("is active")
    assert site.greeting() == "Hello, Ada"


def building_below(site: Site) -> list[psutil.Process]:
    """What executes the code of a package that is built."""

    def builds(process: psutil.Process) -> bool:
        try:
            return "build_wheel" in " ".join(process.cmdline())
        except psutil.Error:
            return False

    return [process for process in psutil.Process(site.server.process.pid).children(recursive=True) if builds(process)]


def zstd(content: bytes) -> bytes:
    """One frame of blocks that are not compressed."""
    size = 128 * 1024
    blocks = [content[start : start + size] for start in range(0, len(content), size)] or [b""]
    packed = b"\x28\xb5\x2f\xfd\x00\x58"
    for number, block in enumerate(blocks):
        packed += (int(number == len(blocks) - 1) | len(block) << 3).to_bytes(3, "little") + block
    return packed


def archive(*entries: tuple[str, bytes, str]) -> bytes:
    """A tar archive of entries with these names, kinds, and targets of links."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, kind, target in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, target
            content = PLAIN.encode() if kind == tarfile.REGTYPE else b""
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def files(*names: str) -> bytes:
    return archive(*((name, tarfile.REGTYPE, "") for name in names))


HOSTILE = {
    "leads up": (zstd(files("../evil.py")), "has a part `.` or `..`"),
    "is absolute": (zstd(files("/evil.py")), "is absolute"),
    "is a link": (zstd(archive(("evil.py", tarfile.SYMTYPE, "/etc/passwd"))), "is a symbolic link"),
    "is a hard link": (zstd(archive(("evil.py", tarfile.LNKTYPE, "/etc/passwd"))), "is a hard link"),
    "is a device": (zstd(archive(("evil", tarfile.CHRTYPE, ""))), "is a device"),
    "is a pipe": (zstd(archive(("evil", tarfile.FIFOTYPE, ""))), "is a pipe"),
    "comes twice": (zstd(files("a.py", "a.py")), "stands in the bundle twice"),
    "is in disorder": (zstd(files("b.py", "a.py")), "not in the order of names"),
    "is two things": (zstd(files("a", "a/b.py")), "both a file and a folder"),
    "declares too much": (zstd(files("a.py").replace(b"%011o" % len(PLAIN), b"77777777777")), "not a bundle"),
    "is cut off": (zstd(files("a.py"))[:-2000], "ends early"),
    "goes on": (zstd(files("a.py")) + b"more", "goes on after its end"),
    "is empty": (zstd(archive()), "no files"),
    "is nothing": (b"", "ends early"),
    "is not packed": (files("a.py"), "not a bundle"),
}


def posted(server: Server, body: bytes) -> tuple[int, str]:
    headers = {"Authorization": f"Api-Key {server.key}", "Ziet-Project": "evil", "Content-Type": "application/zstd"}
    request = urllib.request.Request(f"{server.url}/v1/deployments", method="POST", data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def test_hostile_bundles_are_refused_and_leave_nothing(site: Site) -> None:
    before = {path for path in site.ziet.scratch.rglob("*") if "ziet.db" not in path.name}

    for what, (bundle, told) in HOSTILE.items():
        status, text = posted(site.server, bundle)
        assert status == 422, (what, text)
        problem = json.loads(text)
        assert problem["code"] == "invalid_bundle", (what, problem)
        assert told in problem["detail"], (what, problem)
    status, text = posted(site.server, zstd(files("plain.py")))
    assert status == 202, text
    version = json.loads(text)["digest"]

    after = {path for path in site.ziet.scratch.rglob("*") if "ziet.db" not in path.name}
    expected = {"deployments", "evil", "uploads"}
    assert all(version in str(path) or path.name in expected for path in after - before), after - before
    assert not list((site.server.state / "uploads").iterdir())
    assert not Path("/evil.py").exists()


@pytest.mark.soak
def test_packages_of_the_real_registry_are_installed(ziet: Ziet) -> None:
    about = ABOUT.replace('"ziet", "greeter>=1"', '"tabulate==0.9.0"')
    action = "import tabulate\nfrom ziet import Action\n@Action(id='version', description='x')\ndef version() -> str:\n"
    action += "    return tabulate.__version__\n"
    project = ziet.write({"pyproject.toml": about, "actions.py": action})
    environment = ziet.environment | {name: value for name, value in os.environ.items() if name.startswith("SSL_")}
    subprocess.run([UV, "lock", "--quiet"], cwd=project.folder, env=environment, check=True)
    certificates = {name: os.environ[name] for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if name in os.environ}
    nothing = ziet.write({"README": "no project"}, "nothing")
    with ziet.serve(nothing, **certificates) as server:
        done = project("deploy", ZIET_SERVER=server.url, ZIET_API_KEY=server.key)
        assert done.status == 0, done
        assert server.finished("version")["output"] == "0.9.0"
