"""Drives a server with the program, as its users do: keys, runs, logs, memory, and whatever goes wrong on the way."""

from __future__ import annotations

import json
import os
import re
import shlex
import stat
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import external_file, snapshot

from pages import free_address
from program import Result, Running, Ziet
from shown import file_of
from shown import masked as masked_run

ESCAPE = "\x1b["
ID = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
CERTIFICATES = Path(__file__).parent.parent / "crates/ziet-server/tests/api/certificates"
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


@pytest.fixture(scope="module")
def shop(lasting: Ziet) -> Iterator[Shop]:
    """One for the tests that leave it as it was."""
    shop = Shop(lasting)
    with shop.server:
        yield shop


def own(ziet: Ziet, **files: str) -> Shop:
    """One that a test may restart: it listens where it listened before."""
    return Shop(ziet, "--listen", free_address(), **files)


# Servers and keys.


def test_a_key_is_kept_for_its_owner_alone_once_the_server_takes_it(ziet: Ziet) -> None:
    shop = own(ziet)
    with shop.server:
        folder = ziet.scratch / ".config" / "ziet"
        file = folder / "servers.toml"
        assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, file)] == [0o700, 0o600]
        before = file.read_text()
        assert shop.server.key in before

        done = shop("login", shop.server.url, stdin="sk_wrong\n")
        assert (done.status, done.out) == (1, "")
        assert shop.masked(done.err) == snapshot(
            """\
error: there is no such API key, or it was revoked
hint: `ziet login URL` keeps another key; the first one of a server stands in its state folder
"""
        )
        assert file.read_text() == before
        assert [path.name for path in folder.iterdir()] == ["servers.toml"]

        assert shop("login", shop.server.url, stdin="").status == 2
        assert shop("login", "nowhere").status == 2
        assert shop("logout").status == 0
        assert shop.server.key not in file.read_text()
        done = shop("runs")
        assert (done.status, done.err) == (
            2,
            "error: no server is known\n"
            "hint: `ziet login URL` keeps a server and its key; or set ZIET_SERVER and ZIET_API_KEY\n",
        )


def test_a_key_that_is_typed_is_not_shown(ziet: Ziet) -> None:
    shop = own(ziet)
    with shop.server:
        for typed, status in ((shop.server.key + "\n", 0), ("\x03", 130)):
            running, keyboard = shop.project.start_in_terminal("login", shop.server.url, "--name", "typed")
            said = ""
            while not said.endswith(": \x1b[0m"):
                said += os.read(keyboard, 1).decode()
            assert "Key for " in said
            os.write(keyboard, typed.encode())
            done = running.finish()
            assert done.status == status, done
            assert shop.server.key not in done.out
        assert "typed" in (ziet.scratch / ".config/ziet/servers.toml").read_text()


def test_several_servers_are_told_by_their_names(ziet: Ziet) -> None:
    shop = own(ziet)
    with shop.server:
        url, key = shop.server.url, shop.server.key
        made = shop.json("keys", "create", "reader", "--scope", "read")
        assert shop("login", url, "--name", "reader", stdin=made["key"]).status == 0
        # The last one is asked where none is named, and by its name each of them.
        assert shop("keys", "list").status == 1
        assert shop("keys", "list", "--server", "shop").status == 0
        assert shop("keys", "list", ZIET_SERVER="shop").status == 0
        assert shop("keys", "list", "--server", "reader", ZIET_SERVER="shop").status == 1
        assert shop("keys", "list", ZIET_API_KEY=key).status == 0
        assert shop("login", "shop").status == 0
        assert shop("keys", "list").status == 0
        # A URL has the key that is kept for it.
        assert shop("runs", "--server", url + "/").status == 0
        assert shop("runs", "--server", "http://127.0.0.1:1").err.startswith(
            "error: there is no key for http://127.0.0.1:1"
        )
        assert shop("runs", "--server", "shp").err == snapshot(
            """\
error: --server shp: there is no server of this name
hint: there are `reader`, `shop`; or give a URL such as https://shop.example.com
"""
        )
        assert shop("logout", "shop").status == 0
        assert shop("keys", "list").status == 1
        assert shop("runs", ZIET_SERVER=url, ZIET_API_KEY=key, HOME="/nonexistent").status == 0


def test_the_key_is_in_no_setting(shop: Shop) -> None:
    done = shop("settings", ZIET_API_KEY=shop.server.key)
    assert shop.server.key not in done.out + done.err
    assert "ZIET_API_KEY" in done.out


# Runs.


def test_a_run_looks_as_a_local_one(shop: Shop) -> None:
    done = shop("run", "action", "charge", "-p", "amount=990")

    assert (done.status, done.err) == (0, "")
    assert shop.masked(done.out) == snapshot(
        """\
🚀 Running action: charge

[INFO] Run ID on URL
[INFO] Action charge initialized
[INFO] Action executing...
[INFO] charging ada@example.com
[INFO] Action charge returned "charged"
[INFO] Action charge completed in 0.05s
✅ Run completed

Result stored in memory: {"receipt": "9.90 usd"}
"""
    )


def test_a_failed_run_shows_the_users_frames(shop: Shop) -> None:
    assert shop.shown("run", "action", "fails") == external_file(file_of("driving", "fails"))


def test_a_run_as_a_document_has_its_memory(shop: Shop) -> None:
    done = shop("run", "action", "charge", "--input", '{"amount": 1000}', "--json")

    assert done.status == 0
    assert done.document["output"] == "charged"
    assert done.document["memory"] == {"receipt": "10.00 usd"}
    assert done.lines[0] == "🚀 Running action: charge"
    failed = shop("run", "action", "fails", "--json")
    assert (failed.status, failed.document["error"]["message"]) == (1, "no")
    assert failed.document["memory"]["actions.fails.error"]["attempt"] == 2


def test_input_comes_from_where_local_runs_have_it(shop: Shop) -> None:
    file = shop.project.folder / "input.json"
    file.write_text('{"amount": 1}')
    for arguments, stdin in (
        (["--input", '{"amount": 1}'], ""),
        (["--input", "@input.json"], ""),
        (["--input", "-"], '{"amount": 1}'),
        (["--input", '{"amount": 5}', "-p", "amount=1"], ""),
    ):
        done = shop("run", "action", "charge", *arguments, "--json", stdin=stdin)
        assert done.document["input"] == {"amount": 1}
    # Text stays text where the hint says so, although the hint is the server's.
    done = shop("run", "action", "fails", "-p", "text=12", "--json")
    assert done.document["input"] == {"text": "12"}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("wrong_input", ["charge", "-p", "amount=much", "-p", "mail=x"]),
        ("unknown_action", ["chrage"]),
        ("far_from_any_action", ["something_else"]),
        ("unknown_memory", ["charge", "-p", "amount=1", "--memory", "01a208d6-b6e2-7a31-b6b4-1f6e6f0d8a11"]),
        ("local_setting", ["charge", "--no-backoff"]),
        ("watch", ["charge", "--watch"]),
        ("delay", ["charge", "--delay", "soon"]),
        ("metadata", ["charge", "--metadata", "[1]"]),
    ],
)
def test_what_is_wrong_is_told_before_anything_runs(shop: Shop, name: str, arguments: list[str]) -> None:
    before = len(shop.json("runs", "--limit", "1000"))
    assert shop.shown("run", "action", *arguments) == external_file(file_of("driving", name))
    assert len(shop.json("runs", "--limit", "1000")) == before


def test_options_of_a_server_are_not_for_local_runs(ziet: Ziet) -> None:
    for option in (["--detach"], ["--delay", "1s"], ["--idempotency-key", "a"], ["--server", "a"]):
        done = ziet.project("lines").run("echo", *option)
        assert (done.status, done.out) == (2, "")
        assert done.err == f"error: {option[0]} is for a server, not for --local\n"


def test_an_action_is_found_by_its_function(ziet: Ziet) -> None:
    shop = own(ziet, **{"other.py": OTHER})
    with shop.server:
        assert shop.json("run", "action", "fails", "--detach")["action_id"] == "actions.fails"
        assert shop.json("run", "action", "other.count", "--detach")["action_id"] == "other"
        done = shop("run", "action", "count")
        assert (done.status, done.err) == (
            2,
            "error: `count` fits several actions: `actions.count`, `other`\nhint: give the id of one of them\n",
        )


def test_a_run_can_be_submitted_and_left(shop: Shop) -> None:
    charge = ["charge", "-p", "amount=3"]
    first = shop.detach(*charge, "--idempotency-key", "order-1", "--metadata", '{"order": "A-1"}')
    assert shop.server.wait(first)["metadata"] == {"order": "A-1"}
    assert shop.detach(*charge, "--idempotency-key", "order-1") == first
    later = shop.json("run", "action", *charge, "--delay", "2h", "--detach")
    assert later["status"] == "scheduled"
    at = shop.json("run", "action", *charge, "--at", later["run_at"], "--detach")
    assert at["run_at"] == later["run_at"]
    shop.lines("runs", "cancel", later["id"], at["id"])
    memory = shop.server.run(first)["memory_id"]
    again = shop.finished(*charge, "--memory", memory)
    assert shop.server.run(again)["memory_id"] == memory


# What goes wrong while somebody waits.


def test_a_run_is_followed_across_the_death_of_its_server(ziet: Ziet) -> None:
    shop = own(ziet)
    with shop.server:
        file = ziet.scratch / "go"
        running = shop.project.start("run", "action", "hold", "-p", f"file={file}")
        run = ID.search(running.until("Run "))
        assert run
        logs = shop.project.start("logs", run[0], "--follow")
        running.until("holding")
        logs.until("holding")

        shop.server.kill()
        shop.server.start()
        # It is executed again, and both go on.
        running.until("lost its process")
        running.until("holding")
        logs.until("holding")
        file.touch()
        done, told = running.finish(), logs.finish()

    assert (done.status, told.status) == (0, 0), (done, told)
    assert done.out.endswith("✅ Run completed\n\nResult stored in memory: {}\n")
    assert [done.out.count(text) for text in ("holding", "let go", "executing")] == [2, 1, 2]
    assert [told.out.count(text) for text in ("holding", "let go")] == [2, 1]
    for result in (done, told):
        # A restart that is quicker than the next look is not noticed.
        assert result.err == "" or result.err.endswith("note: the server is there again\n")


def test_ctrl_c_without_a_terminal_leaves_the_run_running(shop: Shop) -> None:
    file = shop.ziet.scratch / "left"
    running = shop.project.start("run", "action", "hold", "-p", f"file={file}")
    running.until("holding")
    running.process.send_signal(2)
    done = running.finish()

    run = ID.search(done.out)
    assert run
    assert done.status == 130
    assert shop.masked(done.err) == "Run ID goes on: `ziet logs ID -f` follows it, `ziet runs cancel ID` ends it\n"
    assert shop.server.run(run[0])["status"] == "running"
    file.touch()
    assert shop.server.wait(run[0])["status"] == "completed"


def held_in_terminal(shop: Shop, file: Path) -> tuple[Running, int, str]:
    running, keyboard = shop.project.start_in_terminal("run", "action", "hold", "-p", f"file={file}")
    run = ID.search(running.until("Run "))
    assert run
    running.until("holding")
    os.write(keyboard, b"\x03")
    running.until("^C")
    return running, keyboard, run[0]


@pytest.mark.parametrize("typed", [b"leave\n", b"\n", b"\x03"])
def test_ctrl_c_in_a_terminal_asks_and_leaves(shop: Shop, typed: bytes) -> None:
    file = shop.ziet.scratch / f"asked-{len(typed)}-{typed[0]}"
    running, keyboard, run = held_in_terminal(shop, file)
    os.write(keyboard, typed)
    done = running.finish()

    assert done.status == 130
    assert "Leave the run running, or cancel it? [leave/cancel]" in done.out
    assert f"{run} goes on" in done.out
    assert shop.server.run(run)["status"] == "running"
    file.touch()
    shop.server.wait(run)


def test_ctrl_c_in_a_terminal_asks_and_cancels(shop: Shop) -> None:
    running, keyboard, run = held_in_terminal(shop, shop.ziet.scratch / "never")
    os.write(keyboard, b"cancel\n")
    done = running.finish()

    assert done.status == 130
    assert "Action hold cancelled by" in done.out
    assert "❌ \x1b[1m\x1b[31mRun cancelled" in done.out
    assert done.out.endswith("Result stored in memory: {}\r\n")
    assert shop.server.run(run)["status"] == "cancelled"


def test_what_ends_while_a_person_is_asked_is_shown_after_the_answer(shop: Shop) -> None:
    file = shop.ziet.scratch / "meanwhile"
    running, keyboard, run = held_in_terminal(shop, file)
    file.touch()
    shop.server.wait(run)
    os.write(keyboard, b"cancel\n")
    done = running.finish()

    assert done.status == 0
    assert "let go" in done.out


# Looking at runs.


def test_runs_are_listed_and_filtered(ziet: Ziet) -> None:
    shop = own(ziet)
    with shop.server:
        good = shop.finished("charge", "-p", "amount=1", "--metadata", '{"order": "A-16"}')
        bad = shop.finished("fails")
        later = shop.detach("charge", "-p", "amount=2", "--delay", "1h")

        def ids(*filters: str) -> list[str]:
            return [run["id"] for run in shop.json("runs", *filters)]

        assert ids() == [later, bad, good]
        assert ids("--limit", "2") == [later, bad]
        assert ids("--status", "failed") == [bad]
        assert ids("--status", "failed,completed") == [bad, good]
        assert ids("--action", "charge", "--status", "completed") == [good]
        assert ids("--text", "a-16") == [good]
        assert ids("--since", "1h") == [later, bad, good]
        assert ids("--since", "2100-01-01T00:00:00Z") == []
        assert ids("--root", good) == []
        header, *rows = shop.lines("runs")
        assert header.split() == ["run", "action", "status", "created", "took"]
        assert [row.split()[0] for row in rows] == [later, bad, good]
        assert shop.server.run(good)["created_at"] in rows[-1]
        assert shop("runs", "--since", "yesterday").status == 2
        assert shop("runs", "--status", "done").status == 2
        done = shop("runs", "--limit", "1")
        assert done.err == "There are more than 1: --limit shows more of them, filters fewer\n"


def test_the_beginning_of_an_id_is_enough(shop: Shop) -> None:
    one = shop.finished("count", "-p", "to=1")
    shop.finished("count", "-p", "to=2")
    others = [run["id"] for run in shop.json("runs", "--limit", "1000") if run["id"] != one]
    short = next(one[:end] for end in range(1, 37) if not any(other.startswith(one[:end]) for other in others))

    assert shop.json("runs", "show", short)["id"] == one
    assert shop.json("runs", "show", one[:-1].replace("-", "").upper())["id"] == one
    done = shop("runs", "show", one[:3])
    assert done.status == 2
    assert re.sub(r"(with \S+): .* …", r"\1: IDS …", done.err) == (
        f"error: several runs begin with {one[:3]}: IDS …\nhint: type more of it\n"
    )
    assert shop("runs", "show", "ffff").err.startswith("error: no run begins with ffff\n")
    assert shop("runs", "show", "nonsense").err.startswith(
        'error: "nonsense" is not the id of a run, nor its beginning'
    )
    assert shop("logs", "00000000-0000-7000-8000-000000000000").status == 2


def test_a_run_is_shown_in_full(shop: Shop) -> None:
    run = shop.finished("fails")
    out = shop("runs", "show", run).out
    out = re.sub(r"\d{4}-\d\d-\d\dT\S+Z", "TIME", out)
    out = re.sub(r"\d+\.\d\d\ds", "0.050s", out)
    out = re.sub(r"\d+ ms", "5 ms", out)
    out = re.sub(r"\d+(\.\d)? MB", "20 MB", out)
    assert re.sub(" +", " ", shop.masked(out)) == external_file(file_of("driving", "show"))
    assert shop.json("runs", "show", run) == shop.server.run(run)


def test_runs_are_cancelled_and_retried(shop: Shop) -> None:
    run = shop.detach("charge", "-p", "amount=7", "--delay", "1h")
    done_before = shop.finished("charge", "-p", "amount=8")
    done = shop("runs", "cancel", run, done_before, "--reason", "on purpose")
    assert done.status == 1
    assert done.out == f"Cancelled {run}\n"
    assert done.err.startswith("error: ")
    cancelled = shop.server.run(run)
    assert (cancelled["status"], cancelled["cancelled"]["reason"]) == ("cancelled", "on purpose")
    [again] = shop.json("runs", "retry", done_before)
    assert (again["retry_of"], again["input"]) == (done_before, {"amount": 8})
    [line] = shop.lines("runs", "retry", run)
    assert ID.sub("ID", line) == "Run ID repeats ID"


def test_a_list_is_drawn_anew_as_it_changes(ziet: Ziet) -> None:
    shop = own(ziet)
    with shop.server:
        file = ziet.scratch / "go"
        run = shop.detach("hold", "-p", f"file={file}")
        shop.server.until(run, lambda document: document["status"] == "running")
        shop.project.columns = 120
        running, keyboard = shop.project.start_in_terminal("runs", "--watch")
        running.until("running")
        file.touch()
        assert f"{ESCAPE}1m{ESCAPE}32m{run}" in running.until("completed")
        new = shop.detach("charge", "-p", "amount=1")
        running.until(new)
        # Each picture begins where the one before began: it had a header and two runs.
        running.until(f"{ESCAPE}3A")
        os.write(keyboard, b"\x03")
        done = running.finish()
        assert done.status == 0
        assert f"{ESCAPE}2A\r{ESCAPE}J" in done.out


def test_a_list_that_changes_is_lines_in_a_pipe(ziet: Ziet) -> None:
    shop = own(ziet)
    with shop.server:
        table = shop.project.start("runs", "--watch", "--status", "completed")
        documents = shop.project.start("runs", "--watch", "--json")
        one = shop.finished("charge", "-p", "amount=1")
        assert table.until(one).split()[:3] == [one, "charge", "completed"]
        assert json.loads(documents.until('"completed"'))["id"] == one
        for running in (table, documents):
            running.process.send_signal(2)
            assert running.finish().status == 0


def test_logs_are_read_and_followed(shop: Shop) -> None:
    run = shop.finished("count", "-p", "to=250")
    lines = shop.lines("logs", run)
    assert [line.split(" ", 1)[1] for line in lines] == [f"[INFO] number {number}" for number in range(1, 251)]
    stored = shop.server.get(f"/v1/runs/{run}/logs?limit=1")["data"][0]
    assert lines[0].startswith(stored["at"])
    assert shop.json("logs", run)[0] == stored
    assert len(shop.lines("logs", run, "--search", "number 25")) == 2
    assert shop.lines("logs", run, "--level", "error") == []
    assert shop.lines("logs", run, "-f") == lines
    followed = shop("logs", run, "-f", "--json").out.splitlines()
    assert [json.loads(line)["seq"] for line in followed] == list(range(1, 251))


def test_what_an_action_prints_steers_no_terminal(shop: Shop) -> None:
    run = shop.finished("hostile")
    for arguments in (["run", "action", "hostile"], ["logs", run], ["runs", "show", run]):
        running, _ = shop.project.start_in_terminal(*arguments, NO_COLOR="1")
        out = running.finish().out
        assert ESCAPE[0] not in out
        assert "\x07" not in out
        assert "\r" not in out.replace("\r\n", "\n")
    assert r"a\x1b[2Jb\x1b]0;title\x07c\rd" in shop("logs", run).out


@pytest.mark.parametrize("columns", [40, 80])
def test_tables_fit_the_terminal(shop: Shop, columns: int) -> None:
    shop.finished("charge", "-p", "amount=1")
    shop.project.columns = columns
    try:
        for arguments in (["runs", "--limit", "1000"], ["keys", "list"]):
            running, _ = shop.project.start_in_terminal(*arguments, NO_COLOR="1", TERM="dumb")
            rows = running.finish().out.replace("\r\n", "\n").splitlines()
            assert len(rows) > 1
            assert max(map(len, rows)) <= columns, rows
    finally:
        shop.project.columns = 80


# Memory, keys, actions.


def test_memory_is_read_and_changed(shop: Shop) -> None:
    run = shop.finished("charge", "-p", "amount=250")
    memory = shop.server.run(run)["memory_id"]
    assert shop.lines("memory", "get", run, "receipt") == ['"2.50 usd"']
    added = shop.json("memory", "add", memory, "note", '{"a": 1}', "--metadata", '{"kind": "note"}')
    assert added["value"] == {"a": 1}
    shop.lines("memory", "add", run[:30], "note", "plain text")
    assert shop.lines("memory", "get", memory, "note") == ['"plain text"']
    assert [entry["key"] for entry in shop.json("memory", "list", run)] == ["note", "note", "receipt"]
    assert [entry["value"] for entry in shop.json("memory", "search", run, "usd")] == ["2.50 usd"]
    assert [entry["value"] for entry in shop.json("memory", "search", run, "--filter", '{"kind": "note"}')] == [
        {"a": 1}
    ]
    assert shop.lines("memory", "list", run)[0].split() == ["key", "value", "added", "metadata", "entry"]
    assert shop.lines("memory", "remove", run, "--entry", added["entry_id"]) == ["Removed 1 entry"]
    assert shop.json("memory", "remove", memory, "note") == {"removed": 1}
    done = shop("memory", "get", run, "note")
    assert (done.status, done.out, done.err) == (1, "", 'error: there is nothing under the key "note"\n')
    assert shop("memory", "list", "01a208d6-b6e2-7a31-b6b4-1f6e6f0d8a11").status == 2


def test_the_status_tells_what_there_is_to_do(ziet: Ziet) -> None:
    shop = own(ziet)
    with shop.server:
        file = ziet.scratch / "go"
        run = shop.detach("hold", "-p", f"file={file}")
        shop.server.until(run, lambda document: document["status"] == "running")
        facts, projects = "\n".join(shop.lines("status")).split("\n\n")
        assert facts.splitlines()[0].split() == ["server", shop.server.url]
        assert [line.split()[0] for line in facts.splitlines()] == ["server", "version", "disk"]
        header, row = projects.splitlines()
        assert header.split() == ["project", "version", "queued", "executing", "waiting", "unfinished", "executors"]
        assert row.split()[:6] == ["shop", "folder", "0", "1", "0", "1"]
        [project] = shop.json("status")["projects"]
        assert (project["executing"], project["live"]) == (1, 1)
        file.touch()
        shop.server.wait(run)


def test_keys_are_made_shown_once_and_revoked(shop: Shop) -> None:
    [key] = shop.lines("keys", "create", "CI", "--scope", "run", "--scope", "read")
    assert re.fullmatch("sk_[0-9a-f]{64}", key)
    assert key not in shop("keys", "list").out + shop("keys", "list", "--json").out
    assert shop("runs", ZIET_API_KEY=key).status == 0
    done = shop("keys", "list", ZIET_API_KEY=key)
    assert (done.status, done.out) == (1, "")
    assert "admin" in done.err
    header, *rows = shop.lines("keys", "list")
    assert header.split() == ["begins", "name", "project", "scopes", "made", "used"]
    [row] = [row for row in rows if key[:9] in row]
    assert row.split()[1:5] == ["CI", "shop", "run,", "read"]
    assert shop.lines("keys", "revoke", key[:9]) == [f"Revoked {key[:9]}"]
    assert shop("runs", ZIET_API_KEY=key).status == 1
    done = shop("keys", "revoke", key)
    assert done.status == 2
    assert key not in done.err
    assert shop("keys", "create", "CI", "--scope", "everything").status == 2


def test_actions_of_a_server_are_listed_where_there_is_no_project(shop: Shop) -> None:
    done = shop("actions")
    assert done.status == 0
    assert shop.masked(done.err) == "note: there is no project here: these are of URL\n"
    assert '(amount: int, email: str = "ada@example.com")' in done.out
    in_project = shop.ziet.write({"lone.py": OTHER}, folder="project-of-its-own")
    assert [action["id"] for action in in_project.actions()] == ["other"]
    listed = json.loads(in_project("actions", "--server", "shop", "--json").out)
    assert [action["id"] for action in listed] == [
        "actions.count",
        "actions.fails",
        "actions.hold",
        "actions.hostile",
        "charge",
    ]
    assert listed[-1]["input_schema"]["required"] == ["amount"]
    assert "ziet run action charge -p amount=AMOUNT" in in_project("actions", "charge", "--server", "shop").out


# Servers that are none, or cannot be reached.


class Stranger(HTTPServer):
    """Somebody who is not a server of Ziet, and gives everybody the same answer."""

    def __init__(self, status: int, body: bytes = b"<html>hello</html>", **headers: str) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.answer = (status, headers | {"Content-Length": str(len(body))}, body)
        self.seen: list[dict[str, str]] = []
        """The headers of the requests."""
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever).start()

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self.server_close()


class Answering(BaseHTTPRequestHandler):
    """One request to a stranger."""

    def do_GET(self) -> None:
        assert isinstance(self.server, Stranger)
        self.server.seen.append({name.lower(): value for name, value in self.headers.items()})
        status, headers, body = self.server.answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None: ...


def asked(ziet: Ziet, url: str, **environment: str) -> tuple[int, str]:
    project = ziet.write({"a.txt": ""}, folder="elsewhere")
    done = project("runs", "--server", url, ZIET_API_KEY="sk_secret", **environment)
    assert done.out == ""
    assert "sk_secret" not in done.err
    return done.status, re.sub(r"127\.0\.0\.1:\d+", "ADDRESS", done.err)


def test_who_is_not_a_server_is_told(ziet: Ziet) -> None:
    problem = json.dumps({"code": "not_found", "detail": "no such path"}).encode()
    with Stranger(200) as other, Stranger(404) as missing, Stranger(404, problem) as older:
        told = [asked(ziet, each.url) for each in (other, missing, older)]
    assert told == snapshot(
        [
            (
                1,
                """\
error: http://ADDRESS does not answer as a Ziet server does
hint: check the URL (a server with --tls-cert needs https://); this is ziet 0.1.0
""",
            ),
            (
                1,
                """\
error: http://ADDRESS answers with status 404, and not as a Ziet server does
hint: check the URL (a server with --tls-cert needs https://); this is ziet 0.1.0
""",
            ),
            (
                1,
                """\
error: http://ADDRESS does not know this request: it is older than this program
hint: upgrade the server; this is ziet 0.1.0
""",
            ),
        ]
    )


def test_a_key_is_not_sent_where_a_redirect_leads(ziet: Ziet) -> None:
    with Stranger(200) as elsewhere, Stranger(307, Location=f"{elsewhere.url}/") as redirecting:
        status, told = asked(ziet, redirecting.url)
    assert [request["authorization"] for request in redirecting.seen] == ["Api-Key sk_secret"]
    assert elsewhere.seen == []
    assert status == 1
    assert told == snapshot("""\
error: http://ADDRESS sends to http://ADDRESS/, where the key is not sent
hint: if that is the server, name it by that URL: `ziet login URL`
""")


def test_who_cannot_be_reached_is_told(ziet: Ziet) -> None:
    closed = free_address()
    assert [asked(ziet, f"http://{closed}"), asked(ziet, "https://nothing.invalid")] == snapshot(
        [
            (
                1,
                """\
error: nothing listens at http://ADDRESS
hint: start the server with `ziet serve`, or name another one with --server
""",
            ),
            (
                1,
                """\
error: nothing.invalid cannot be found: nothing has this name
hint: check how it is spelled, and the network
""",
            ),
        ]
    )


def test_certificates_are_checked(ziet: Ziet) -> None:
    tls = ("--tls-cert", str(CERTIFICATES / "first.pem"), "--tls-key", str(CERTIFICATES / "first.key"))
    shop = ziet.write({"actions.py": ACTIONS})
    with ziet.serve(shop, "--sandbox", "off", *tls) as server:
        _, _, port = server.url.rpartition(":")
        told = [
            asked(ziet, f"https://localhost:{port}"),
            asked(ziet, f"http://localhost:{port}"),
        ]
        trusting = {"SSL_CERT_FILE": str(CERTIFICATES / "first.pem")}
        done = shop("runs", "--server", f"https://localhost:{port}", ZIET_API_KEY=server.key, **trusting)
        assert (done.status, done.err) == (0, "No run fits\n")
    with Stranger(200) as plain:
        told.append(asked(ziet, plain.url.replace("http:", "https:")))
    assert [(status, re.sub(r"localhost:\d+", "LOCALHOST", text)) for status, text in told] == snapshot(
        [
            (
                1,
                """\
error: https://LOCALHOST has a certificate that nobody has signed whom this machine trusts
hint: if it is yours, name the certificate of who signed it: SSL_CERT_FILE=ca.pem
""",
            ),
            (
                1,
                """\
error: http://LOCALHOST does not answer as a Ziet server does
hint: check the URL (a server with --tls-cert needs https://); this is ziet 0.1.0
""",
            ),
            (
                1,
                """\
error: https://ADDRESS does not speak TLS
hint: if it is meant to be without encryption: http://ADDRESS
""",
            ),
        ]
    )
