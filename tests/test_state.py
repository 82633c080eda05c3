"""The state of a server: copied with `ziet backup`, brought back with `ziet restore`, and damaged."""

from __future__ import annotations

import sqlite3
import stat

import pytest

from program import Project, Ziet

SHOP = {
    "ziet.toml": 'name = "shop"\n',
    "shop.py": """\
from ziet import Action


@Action(id="double", description="Double a number")
def double(number: int) -> int:
    return number * 2
""",
}


@pytest.fixture
def shop(ziet: Ziet) -> Project:
    return ziet.write(SHOP)


def test_a_backup_is_made_while_runs_are_made_and_restored(ziet: Ziet, shop: Project) -> None:
    copy, state = ziet.scratch / "copy.db", str(ziet.scratch / "state")
    with ziet.serve(shop) as server:
        before = server.finished("double", number=1)["id"]
        made = shop("backup", str(copy), "--state", state)
        after = server.finished("double", number=2)["id"]
        busy = shop("restore", str(copy), "--force", "--state", state)
        server.stop()
        there = shop("restore", str(copy), "--state", state)
        restored = shop("restore", str(copy), "--force", "--state", state)
        server.start()

        assert (made.status, busy.status, there.status, restored.status) == (0, 1, 2, 0), (made, busy, there, restored)
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        assert f"process {server.process.pid}" not in restored.err
        assert "--force" in there.err
        assert server.run(before)["output"] == 2
        assert server.request("GET", f"/v1/runs/{after}").status == 404
        [old] = server.state.glob("ziet.db.old-*[0-9]")
    assert sqlite3.connect(old).execute("SELECT count(*) FROM runs").fetchone() == (2,)


def test_a_backup_does_not_take_the_place_of_the_state(ziet: Ziet, shop: Project) -> None:
    with ziet.serve(shop) as server:
        run = server.finished("double", number=1)["id"]
        done = shop("backup", str(server.state / "ziet.db"), "--state", str(server.state))

        assert done.status == 2
        assert "elsewhere" in done.err
        server.restart()
        assert server.run(run)["output"] == 2


def test_a_backup_needs_a_folder_that_is_there(ziet: Ziet, shop: Project) -> None:
    state = ziet.scratch / "state"
    with ziet.serve(shop) as server:
        server.stop()
    done = shop("backup", str(ziet.scratch / "nope" / "x.db"), "--state", str(state))

    assert (done.status, done.err.splitlines()[0]) == (2, f"error: {ziet.scratch / 'nope'}: there is no such folder")


def test_a_restore_says_that_there_is_no_key(ziet: Ziet, shop: Project) -> None:
    copy = str(ziet.scratch / "copy.db")
    with ziet.serve(shop) as server:
        server.stop()
    shop("backup", copy, "--state", str(ziet.scratch / "state"))
    done = shop("restore", copy, "--state", str(ziet.scratch / "other"))

    assert (done.status, len(done.lines)) == (0, 2)
    assert "no admin key is in that folder" in done.lines[1]


def test_a_damaged_state_is_told_by_its_name(ziet: Ziet, shop: Project) -> None:
    with ziet.serve(shop) as server:
        for number in range(50):
            server.finished("double", number=number)
        server.stop()
        database = server.state / "ziet.db"
    data = database.read_bytes()
    database.write_bytes(data[:8192] + b"\xaa" * (len(data) - 8192))
    done = shop("serve", "--state", str(database.parent), "--listen", "127.0.0.1:0")

    assert done.status == 1
    assert str(database) in done.err
    assert "project shop" not in done.err.splitlines()[-1]


def test_a_file_that_is_no_backup_is_not_restored(ziet: Ziet, shop: Project) -> None:
    wrong, state = ziet.scratch / "wrong.db", ziet.scratch / "state"
    wrong.touch()
    empty = shop("restore", str(wrong), "--state", str(state))
    assert (empty.status, empty.err.splitlines()) == (
        1,
        [
            f"error: {wrong} is not restored: the database is not one of ziet: {wrong}: it is empty",
            "hint: name a file that `ziet backup` has written",
        ],
    )
    wrong.write_text("not a database" * 1000)
    done = shop("restore", str(wrong), "--state", str(state))

    assert done.status == 1
    assert str(wrong) in done.err
    assert not (state / "ziet.db").exists()
