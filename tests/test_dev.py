"""`ziet dev`: what is saved is live at once, what is broken changes nothing, and what runs ends as it began."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from program import Project, Ziet
from server import Server

HELLO = """
from ziet import Action

@Action(description="Says hello")
def hello() -> str:
    return "one"
"""
SLOW = """
import time
from pathlib import Path
from ziet import Action

@Action(description="Waits", retries=1)
def slow(folder: str) -> str:
    Path(folder, "began").touch()
    print("I am here")
    while not Path(folder, "go").exists():
        time.sleep(0.01)
    return "one"
"""


class Dev:
    """The server of a folder, and the terminal that it is in."""

    request, get, submit, run, wait, until = (
        Server.request,
        Server.get,
        Server.submit,
        Server.run,
        Server.wait,
        Server.until,
    )

    def __init__(self, project: Project, *arguments: str) -> None:
        self.folder = project.folder
        self.running, self._keyboard = project.start_in_terminal("dev", *arguments)
        said = self.running.until("Serving ")
        found = re.search(r" on (http://\S+), ", said)
        assert found, said
        self.url = found[1]

    @property
    def key(self) -> str:
        return (self.folder / ".ziet" / "admin.key").read_text("ascii").strip()

    def shows(self, text: str) -> str:
        """The next line in the terminal with this text."""
        return self.running.until(text)

    def lives(self) -> list[str]:
        """What it has said of each version that it has executed."""
        return re.findall(r"Live after [\d.]+s: (.*?)\x1b", self.running.read)

    def save(self, file: str, text: str) -> None:
        """As most editors do: a new file takes the place of the old one."""
        path = self.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.new")
        beside.write_text(text)
        beside.replace(path)

    def finished(self, action: str) -> object:
        """What a new run returned."""
        document = self.wait(self.submit(action))
        assert document["status"] == "completed", document
        return document["output"]

    def press(self) -> None:
        os.write(self._keyboard, b"\x03")


@contextmanager
def dev(project: Project, *arguments: str) -> Iterator[Dev]:
    """Ends it as a person does."""
    server = Dev(project, *arguments or ("--listen", "127.0.0.1:0"))
    try:
        yield server
    except BaseException:
        os.kill(server.running.pid, signal.SIGKILL)
        server.running.finish()
        raise
    server.press()
    done = server.running.finish()
    assert done.status == 0, done


def test_a_save_is_live_and_runs_are_shown(ziet: Ziet) -> None:
    with dev(ziet.write({"hello.py": HELLO})) as server:
        assert server.shows("Live after").endswith(": 1 action\x1b[0m")
        for number, said in enumerate(["one", "two", "six"]):
            if number:
                # The same length within the same second: to Python's caches it is the same file.
                server.save("hello.py", HELLO.replace("one", said))
                assert "Changed: hello.py" in server.shows("Changed")
                server.shows("Live after")
            assert server.finished("hello.hello") == said
            assert server.shows("Running action") == "🚀 Running action: hello.hello"
            server.shows(f'Action hello.hello returned "{said}"')
            server.shows("Action hello.hello completed in")
            server.shows("Run completed")
        ignored = (server.folder / ".ziet" / ".gitignore").read_text()
        modes = {file.name: file.stat().st_mode & 0o777 for file in (server.folder / ".ziet").iterdir()}

    assert ignored == "*\n"
    assert modes["dev.toml"] == modes["admin.key"] == modes["ziet.db"] == 0o600
    assert not (server.folder / ".ziet" / "dev.toml").exists()


def test_what_runs_ends_with_the_code_that_it_began_with(ziet: Ziet) -> None:
    with dev(ziet.write({"work.py": SLOW})) as server:
        server.shows("Live after")
        old = server.submit("work.slow", folder=str(ziet.scratch))
        server.shows("I am here")
        server.save("work.py", SLOW.replace('"one"', '"two"').replace("began", "begun"))
        server.shows("Live after")
        new = server.submit("work.slow", folder=str(ziet.scratch))
        # Two at once: each line says whose it is.
        assert server.shows("I am here").startswith(f"\x1b[2m{new[-8:]}\x1b[0m ")
        assert server.run(old)["status"] == "running"
        (ziet.scratch / "go").touch()
        outputs = [server.wait(run)["output"] for run in (old, new)]
        attempts = [len(server.run(run)["attempts"]) for run in (old, new)]

    assert outputs == ["one", "two"]
    assert attempts == [1, 1]


def test_a_broken_save_changes_nothing_until_it_is_mended(ziet: Ziet) -> None:
    with dev(ziet.write({"hello.py": HELLO})) as server:
        server.shows("Live after")
        for broken, told in [
            ("from ziet import Action\ndef f(:", "SyntaxError"),
            (HELLO + "\n1 / 0\n", "ZeroDivisionError: division by zero"),
            ("import ziet, os; os._exit(3)", "ended (exit status 3) while it imported the project"),
            ("import ziet", "it has no actions"),
        ]:
            server.save("hello.py", broken)
            server.shows(told)
            server.shows("The version before goes on")
            assert server.finished("hello.hello") == "one"
        server.save("ziet.toml", "name = ")
        server.shows("ziet.toml, line 1")
        server.save("ziet.toml", "name = 'another'")
        server.shows("the project is called another now")
        (server.folder / "ziet.toml").unlink()
        server.save("hello.py", HELLO.replace("one", "two"))
        server.shows("Live after")
        assert server.finished("hello.hello") == "two"


def test_a_project_that_is_broken_from_the_start_is_waited_for(ziet: Ziet) -> None:
    with dev(ziet.write({"hello.py": "import ziet, nowhere"})) as server:
        server.shows("No module named 'nowhere'")
        server.shows("Waiting for a save")
        assert server.request("GET", "/readyz").status == 503
        server.save("hello.py", HELLO)
        server.shows("Live after")
        assert server.finished("hello.hello") == "one"


def actions(server: Dev) -> list[str]:
    return [action["id"] for action in server.get("/v1/actions")["data"]]


def test_actions_come_and_go_with_their_files(ziet: Ziet) -> None:
    with dev(ziet.write({"hello.py": HELLO})) as server:
        server.shows("Live after")
        server.save("shop/pay.py", HELLO.replace("hello", "pay"))
        assert "2 actions" in server.shows("Live after")
        assert actions(server) == ["hello.hello", "shop.pay.pay"]
        (server.folder / "hello.py").unlink()
        assert "1 action" in server.shows("Live after")
        gone = server.request("POST", "/v1/runs", {"action_id": "hello.hello"})

        assert actions(server) == ["shop.pay.pay"]
        assert gone.status == 404
        assert server.finished("shop.pay.pay") == "one"


def test_many_saves_at_once_are_one_and_the_last_of_several_counts(ziet: Ziet) -> None:
    slow = "import time\ntime.sleep(1)\n"
    with dev(ziet.write({"hello.py": HELLO})) as server:
        server.shows("Live after")
        for number in range(5):
            server.save(f"part{number}.py", "")
        assert "Changed: part0.py, part1.py, part2.py, 2 more" in server.shows("Changed")
        server.shows("Live after")
        # What is imported is out of date before it is there: it never becomes live.
        for said in ("two", "six", "ten"):
            server.save("hello.py", slow + HELLO.replace("one", said))
            server.shows("Changed: hello.py")
        assert server.finished("hello.hello") == "one"
        server.shows("Live after")
        assert server.finished("hello.hello") == "ten"
        assert server.lives() == ["1 action"] * 3


def test_what_was_accepted_goes_on_after_a_kill(ziet: Ziet) -> None:
    project = ziet.write({"work.py": SLOW})
    server = Dev(project, "--listen", "127.0.0.1:0")
    server.shows("Live after")
    runs = [server.submit("work.slow", folder=str(ziet.scratch)) for _ in range(3)]
    server.shows("I am here")
    os.kill(server.running.pid, signal.SIGKILL)
    server.running.finish()
    ziet.remove_folders()
    (ziet.scratch / "go").touch()
    # What it has left is not taken for a server.
    assert "no server" in project("run", "action", "slow").err
    with dev(project) as again:
        outputs = [again.wait(run)["output"] for run in runs]

    assert outputs == ["one"] * 3


def test_other_commands_in_the_folder_find_it(ziet: Ziet) -> None:
    project = ziet.write({"hello.py": HELLO, "shop/x.txt": ""})
    below = Project(ziet, project.folder / "shop")
    with dev(project) as server:
        server.shows("Live after")
        # A key of another server is not shown to this one.
        done = below("run", "action", "hello", "--json", ZIET_API_KEY="sk_0")
        assert (done.status, done.document["output"]) == (0, "one"), done
        server.shows("Action hello.hello completed")
        elsewhere = below("run", "action", "hello", ZIET_SERVER="http://127.0.0.1:9", ZIET_API_KEY="sk_0")
        assert elsewhere.status != 0
    assert "there is no server" in below("run", "action", "hello").err


def test_one_folder_has_one_and_each_an_address_of_its_own(ziet: Ziet) -> None:
    first = ziet.write({"hello.py": HELLO})
    second = ziet.write({"hello.py": HELLO}, folder="second")
    taken = socket.create_server(("127.0.0.1", 0))
    with taken, dev(first) as server:
        server.shows("Live after")
        again = first("dev")
        refused = second("dev", "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
        with dev(second, str(second.folder)) as other:
            other.shows("Live after")
            with dev(ziet.write({"hello.py": HELLO}, folder="third"), "--sandbox", "off") as third:
                third.shows("Live after")
                urls = {server.url, other.url, third.url}

    assert len(urls) == 3
    assert again.status == 1
    assert "is used by another ziet" in again.err
    assert refused.status == 1
    assert "cannot listen on" in refused.err


def test_what_is_under_way_may_end_but_a_second_interrupt_does_not_wait(ziet: Ziet) -> None:
    project = ziet.write({"work.py": SLOW})
    server = Dev(project, "--listen", "127.0.0.1:0")
    server.shows("Live after")
    run = server.submit("work.slow", folder=str(ziet.scratch))
    server.shows("I am here")
    server.press()
    server.shows("Ending: 1 attempt may go on")
    server.press()
    assert server.running.finish().status == 130
    (ziet.scratch / "go").touch()
    with dev(project) as again:
        assert again.wait(run)["output"] == "one"


def test_it_is_described_without_a_key(ziet: Ziet) -> None:
    with dev(ziet.write({"hello.py": HELLO})) as server:
        server.shows("Live after")
        page = subprocess.run(["curl", "-sSf", f"{server.url}/docs"], capture_output=True, check=False)
        runs = subprocess.run(["curl", "-sSf", f"{server.url}/v1/runs"], capture_output=True, check=False)

    assert page.returncode == 0
    assert runs.returncode != 0


READS = """
import os
from ziet import Action

@Action(description="Reads a variable")
def hello() -> str:
    return os.environ["GREETING"]
"""


def test_variables_of_the_file_and_of_the_server_outlive_saves(ziet: Ziet) -> None:
    project = ziet.write({"hello.py": READS, "ziet.toml": '[env]\nGREETING = "hi"\n'})
    with dev(project) as server:
        server.shows("Live after")
        assert server.finished("hello.hello") == "hi"
        server.save("ziet.toml", '[env]\nGREETING = "hey"\n')
        server.shows("Live after")
        assert server.finished("hello.hello") == "hey"
        assert server.request("PUT", "/v1/environment/GREETING", {"value": "hello"}).status < 300
        assert server.finished("hello.hello") == "hello"
        server.save("hello.py", READS + "# saved")
        server.shows("Live after")
        assert server.finished("hello.hello") == "hello"
