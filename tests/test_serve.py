"""`ziet serve`: starts, serves, ends and starts again, as its users see it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from program import Project, Result, Ziet
from server import PATIENCE_SECONDS, PAUSE_SECONDS, Server

SHOP = {
    "ziet.toml": 'name = "shop"\n',
    "shop.py": """\
import os
import time
from pathlib import Path

from ziet import Action, memory


@Action(id="double", description="Doubles a number")
def double(number: int) -> int:
    print(f"doubling {number}")
    memory.add("doubled", number * 2)
    return number * 2


@Action(id="wait", description="Waits until a file is there")
def wait(file: str) -> str:
    while not Path(file).exists():
        time.sleep(0.01)
    return "waited"


@Action(id="look", description="Tries to read a file")
def look(file: str) -> str:
    try:
        return Path(file).read_text()
    except OSError as error:
        return type(error).__name__
""",
}
OTHER = {
    "ziet.toml": 'name = "other"\n',
    "other.py": """\
from ziet import Action


@Action(id="greet", description="Greets somebody")
def greet(name: str) -> str:
    return f"hello {name}"
""",
}


@pytest.fixture
def shop(ziet: Ziet) -> Project:
    return ziet.write(SHOP)


@pytest.fixture(scope="module")
def shared(lasting: Ziet) -> Iterator[Server]:
    """A server of the shop for tests that leave it as it is."""
    with lasting.serve(lasting.write(SHOP)) as server:
        yield server


def refused(project: Project, *arguments: str, **environment: str) -> Result:
    """How `ziet serve` ends that does not even start."""
    state = () if "--state" in arguments else ("--state", str(project.folder.parent / "state"))
    listen = () if "--listen" in arguments else ("--listen", "127.0.0.1:0")
    done = project("serve", *listen, *state, *arguments, **environment)
    assert done.status in (1, 2), done
    assert not done.out
    return done


def test_a_submitted_run_is_executed(shared: Server) -> None:
    document = shared.finished("double", number=21)

    assert (document["status"], document["output"]) == ("completed", 42)
    assert [attempt["outcome"] for attempt in document["attempts"]] == ["completed"]
    logs = shared.get(f"/v1/runs/{document['id']}/logs")
    assert "doubling 21" in json.dumps(logs)
    [entry] = shared.get(f"/v1/memories/{document['memory_id']}")["data"]
    assert (entry["key"], entry["value"]) == ("doubled", 42)


def test_its_first_lines_say_what_it_serves_and_from_where(ziet: Ziet, shop: Project) -> None:
    with ziet.serve(shop) as server:
        said = "".join(server.log)

    assert f"listens on {server.url}" in said
    assert "project shop: 3 actions" in said
    assert "sandbox of shop: " in said
    assert f"{server.state}/admin.key" in said
    assert f"state={server.state}" in said


def test_runs_outlive_the_server(ziet: Ziet, shop: Project) -> None:
    gate = ziet.scratch / "project" / "gate"
    with ziet.serve(shop, "--concurrency", "1") as server:
        done = server.finished("double", number=1)["id"]
        running = server.submit("wait", file=str(gate))
        queued = server.submit("double", number=2)
        server.until(running, lambda document: document["status"] == "running")
        server.kill()
        gate.touch()
        server.start()

        assert server.run(done)["output"] == 2
        assert server.wait(queued)["output"] == 4
        again = server.wait(running)
        assert again["output"] == "waited"
        assert [attempt["outcome"] for attempt in again["attempts"]] == ["lost", "completed"]


def test_the_key_stays_the_same_and_is_told_once(ziet: Ziet, shop: Project) -> None:
    with ziet.serve(shop) as server:
        key = server.key
        server.restart()

        assert server.key == key
        assert server.request("GET", "/v1/runs").status == 200
    assert len([line for line in server.log if "admin.key" in line]) == 1


def test_another_admin_key_is_made_where_all_are_lost(ziet: Ziet, shop: Project) -> None:
    with ziet.serve(shop) as server:
        lost = server.key
        (server.state / "admin.key").unlink()
    with ziet.serve(shop, "--new-admin-key") as server:
        assert server.key != lost
        names = [key["name"] for key in server.get("/v1/keys")["data"]]
        assert sorted(names) == ["first", "new"]
        answer = server.request("GET", "/v1/keys", Authorization=f"Api-Key {lost}")
        assert answer.status == 200, "a key that somebody may still use was taken away"


def test_the_last_admin_key_that_is_revoked_is_replaced_at_the_next_start(ziet: Ziet, shop: Project) -> None:
    with ziet.serve(shop) as server:
        lost = server.key
        [key] = server.get("/v1/keys")["data"]
        assert server.request("DELETE", f"/v1/keys/{key['id']}").status in (200, 204)
        assert server.request("GET", "/v1/runs").status == 401
        server.restart()

        assert server.key != lost
        assert server.request("GET", "/v1/runs").status == 200


def test_nothing_of_the_state_is_for_others(ziet: Ziet, shop: Project) -> None:
    os.umask(os.umask(0))
    with ziet.serve(shop) as server:
        server.finished("double", number=1)
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in server.files()}

        assert stat.S_IMODE(server.state.stat().st_mode) == 0o700
        assert {"ziet.db", "ziet.db-wal", "admin.key", "lock"} <= modes.keys()
        assert set(modes.values()) == {0o600}


def test_a_second_server_on_the_same_state_is_refused(shared: Server, shop: Project) -> None:
    done = refused(shop, "--state", str(shared.state))

    assert done.status == 1
    assert f"process {shared.process.pid}" in done.err
    assert "--state" in done.err
    assert shared.finished("double", number=1)["output"] == 2


def test_an_address_that_is_taken_is_told(shared: Server, shop: Project) -> None:
    address = shared.url.removeprefix("http://")
    done = refused(shop, "--listen", address)

    assert done.status == 1
    assert address in done.err
    assert "Traceback" not in done.err


def end_all(server: Server) -> None:
    """Kills everything that the server has started."""
    for process in psutil.Process(server.process.pid).children(recursive=True):
        # It may have ended with another.
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    # A run that is given to one that has just died is lost.
    until_told(server, "/metrics", 'ziet_executors{project="shop"} 0')


def until_told(server: Server, path: str, text: str) -> None:
    """Waits until this is in what is at the path."""
    end = time.monotonic() + PATIENCE_SECONDS
    while text not in (told := server.request("GET", path).text):
        assert time.monotonic() < end, told
        time.sleep(PAUSE_SECONDS)


def test_runs_wait_while_their_project_cannot_be_imported_again(ziet: Ziet, shop: Project) -> None:
    file = shop.folder / "shop.py"
    right = file.read_text()
    failing = 'ziet_import_failing{project="shop"}'
    with ziet.serve(shop) as server:
        assert server.finished("double", number=1)["output"] == 2
        end_all(server)
        file.write_text(right + "\n1 / 0\n")
        run = server.submit("double", number=2)
        server.logged("cannot be imported again")
        server.logged("ZeroDivisionError: division by zero")

        ready = server.request("GET", "/readyz")
        assert (ready.status, ready.document["code"]) == (503, "not_ready")
        assert "cannot be imported again" in ready.document["detail"]
        assert "ZeroDivisionError" not in ready.text
        assert f"{failing} 1" in server.request("GET", "/metrics").text
        document = server.run(run)
        assert (document["status"], document["attempts"]) == ("queued", [])

        file.write_text(right)
        document = server.wait(run)
        assert (document["status"], document["output"], len(document["attempts"])) == ("completed", 4, 1)
        until_told(server, "/readyz", "ok")
        assert f"{failing} 0" in server.request("GET", "/metrics").text


def test_a_project_is_imported_again_also_when_no_run_waits_for_it(ziet: Ziet, shop: Project) -> None:
    file = shop.folder / "shop.py"
    right = file.read_text()
    with ziet.serve(shop) as server:
        end_all(server)
        file.write_text(right + "\n1 / 0\n")
        run = server.submit("double", number=2)
        server.logged("cannot be imported again")
        assert server.request("POST", f"/v1/runs/{run}/cancel").status == 200
        assert server.request("GET", "/readyz").status == 503

        file.write_text(right)
        until_told(server, "/readyz", "ok")


def test_runs_wait_when_an_import_is_killed(ziet: Ziet) -> None:
    held = "\nwhile Path(__file__).with_name('held').exists():\n    time.sleep(0.01)\n"
    shop = ziet.write(SHOP | {"shop.py": SHOP["shop.py"] + held})
    gate = shop.folder / "held"
    with ziet.serve(shop) as server:
        assert server.finished("double", number=1)["output"] == 2
        end_all(server)
        gate.touch()
        run = server.submit("double", number=2)
        end = time.monotonic() + PATIENCE_SECONDS
        while not any("cannot be imported again" in line for line in server.log):
            assert time.monotonic() < end, server.log
            end_all(server)
            time.sleep(PAUSE_SECONDS)
        gate.unlink()

        document = server.wait(run)
        assert (document["status"], len(document["attempts"])) == ("completed", 1)


def test_sigterm_lets_attempts_end(ziet: Ziet, shop: Project) -> None:
    gate = ziet.scratch / "project" / "gate"
    with ziet.serve(shop) as server:
        run = server.submit("wait", file=str(gate))
        server.until(run, lambda document: document["status"] == "running")
        server.process.send_signal(signal.SIGTERM)
        server.logged("draining")
        ready = server.request("GET", "/readyz")
        late = server.request("POST", "/v1/runs", {"action_id": "double", "input": {"number": 1}})
        gate.touch()
        status, _ = server.end()

        assert ready.status == 503
        assert late.status == 503
        assert status == 0
        server.start()
        document = server.run(run)
        assert document["status"] == "completed"
        assert len(document["attempts"]) == 1


def test_what_does_not_end_in_time_is_handed_to_the_next_server(ziet: Ziet, shop: Project) -> None:
    gate = ziet.scratch / "project" / "gate"
    with ziet.serve(shop, "--grace", "1s") as server:
        run = server.submit("wait", file=str(gate))
        server.until(run, lambda document: document["status"] == "running")

        assert server.stop() == 0
        gate.touch()
        server.start()
        assert server.wait(run)["output"] == "waited"


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(ziet: Ziet, shop: Project, second: signal.Signals) -> None:
    with ziet.serve(shop, "--grace", "900s") as server:
        run = server.submit("wait", file="/nowhere/to/be/found")
        server.until(run, lambda document: document["status"] == "running")
        server.process.send_signal(signal.SIGTERM)
        server.logged("draining")

        assert server.stop(second) == 130


def test_two_projects_are_served_with_their_own_actions(ziet: Ziet, shop: Project) -> None:
    other = ziet.write(OTHER, "other")
    with ziet.serve(shop, "--project", str(shop.folder), "--project", str(other.folder)) as server:

        def finished(project: str, action: str, **input: object) -> object:
            named = {"Ziet-Project": project}
            body = {"action_id": action, "input": input}
            submitted = server.request("POST", "/v1/runs?wait=30", body, **named)
            assert submitted.status in (200, 201), submitted
            return submitted.document["output"]

        assert finished("shop", "double", number=4) == 8
        assert finished("other", "greet", name="Ada") == "hello Ada"
        unnamed = server.request("POST", "/v1/runs", {"action_id": "greet", "input": {"name": "Ada"}})
        assert 400 <= unnamed.status < 500
        crossed = server.request("POST", "/v1/runs", {"action_id": "greet", "input": {}}, **{"Ziet-Project": "shop"})
        assert crossed.status == 404


def test_two_folders_with_the_same_project_are_refused(ziet: Ziet, shop: Project) -> None:
    other = ziet.write(SHOP, "copy")
    done = refused(shop, "--project", str(shop.folder), "--project", str(other.folder))

    assert done.status == 2
    assert "`shop`" in done.err
    assert str(shop.folder) in done.err
    assert str(other.folder) in done.err


def test_only_serve_takes_several_projects(ziet: Ziet, shop: Project) -> None:
    done = shop("actions", "--project", ".", "--project", "..")

    assert (done.status, done.out) == (2, "")
    assert "ziet serve" in done.err


def test_a_project_that_does_not_import_is_not_served(ziet: Ziet, shop: Project) -> None:
    (shop.folder / "broken.py").write_text("from ziet import Action\n\nprices = {}['missing']\n")
    done = refused(shop)

    assert done.status == 1
    assert "broken.py" in done.err
    assert "KeyError: 'missing'" in done.err


def test_a_folder_without_actions_is_not_served(ziet: Ziet) -> None:
    done = refused(ziet.write({"ziet.toml": 'name = "empty"\n'}))

    assert done.status == 2
    assert "no actions" in done.err


def test_the_state_must_not_lie_where_the_project_can_read_it(ziet: Ziet, shop: Project) -> None:
    done = refused(shop, "--project", str(shop.folder), "--state", str(shop.folder / "below" / "state"))

    assert done.status == 2
    assert "whose code could read it" in done.err
    assert not (shop.folder / "below").exists()


def test_code_is_shut_in_unless_it_is_told_otherwise(ziet: Ziet, shop: Project) -> None:
    with ziet.serve(shop) as server:
        key_file = str(server.state / "admin.key")

        assert server.finished("look", file=key_file)["output"] in ("FileNotFoundError", "PermissionError")
    with ziet.serve(shop, "--sandbox", "off") as server:
        assert any("WARN" in line and "no sandbox" in line for line in server.log)


def test_it_does_not_start_where_code_cannot_be_shut_in(ziet: Ziet, shop: Project) -> None:
    done = refused(shop, ZIET_WITHOUT="landlock,namespaces")

    assert done.status == 1
    assert "sandbox" in done.err


def test_a_project_cannot_let_itself_out(ziet: Ziet, shop: Project) -> None:
    (shop.folder / "ziet.toml").write_text('name = "shop"\nsandbox = "off"\n')
    done = refused(shop)

    assert done.status == 2
    assert "ziet.toml, line 2" in done.err
    assert "--sandbox off" in done.err


def test_nothing_secret_is_printed(ziet: Ziet, shop: Project) -> None:
    with ziet.serve(shop, "--log-level", "debug") as server:
        server.finished("double", number=987_654_321)
        server.request("GET", "/v1/runs", Authorization="Api-Key sk_guessed_by_somebody")
        key = server.key
    said = "".join(server.log)

    assert key not in said
    assert key.removeprefix("sk_")[10:40] not in said
    for secret in ("sk_guessed", "987654321", str(987_654_321 * 2)):
        assert secret not in said


def test_the_log_is_json_where_that_is_wanted(ziet: Ziet, shop: Project) -> None:
    with ziet.serve(shop, "--log-format", "json") as server:
        server.get("/v1/runs")
    lines = [json.loads(line) for line in server.log]

    [listens] = [line for line in lines if "listens on" in line["message"]]
    assert listens["address"] == server.url
    assert {"timestamp", "level", "message"} <= listens.keys()


def test_no_executor_outlives_a_server_that_is_killed(ziet: Ziet, shop: Project) -> None:
    with ziet.serve(shop) as server:
        server.finished("double", number=1)
        children = psutil.Process(server.process.pid).children(recursive=True)
        assert children
        server.process.kill()
        server.end()

        _, alive = psutil.wait_procs(children, timeout=5)
        assert not alive


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--listen", "0.0.0.0:0"], "--tls-cert"),
        (["--listen", "7878"], "an IP address and a port"),
        (["--tls-cert", "cert.pem"], "--tls-key"),
        (["--tls-cert", "cert.pem", "--tls-key", "key.pem"], "cert.pem"),
        (["--tls-cert", "actions.py", "--tls-key", "actions.py"], "actions.py"),
        (["--grace", "16m"], "from 0s to 900s"),
        (["--grace", "-1s"], "--grace=-1s: expected a duration"),
        (["--retention", "soon"], "never"),
        (["--retention", "0s"], "from 1s"),
        (["--retention", "36501d"], "36500d"),
        (["--host", "http://shop/"], "without scheme and port"),
        (["--project", ".", "--project", "."], "is named twice"),
        (["--max-queued-bytes", "many"], "a size"),
    ],
)
def test_wrong_settings_are_told(ziet: Ziet, shop: Project, arguments: list[str], told: str) -> None:
    done = refused(shop, *arguments)

    assert done.status == 2
    assert told in done.err
    assert not (ziet.scratch / "state").exists()


def test_a_certificate_needs_its_own_key(ziet: Ziet, shop: Project) -> None:
    def made(name: str) -> Path:
        key, certificate = ziet.scratch / f"{name}.key", ziet.scratch / f"{name}.pem"
        make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
        subprocess.run([*make, "-keyout", key, "-out", certificate], check=True, capture_output=True)
        return certificate

    one, other = made("one"), made("other")
    done = refused(shop, "--tls-cert", str(one), "--tls-key", str(other.with_suffix(".key")))

    assert done.status == 2
    assert f"the certificate {one} and its key cannot be used" in done.err


def test_what_is_for_a_server_is_not_set_by_a_project(ziet: Ziet, shop: Project) -> None:
    (shop.folder / "ziet.toml").write_text('name = "shop"\nretention = "1d"\n')
    done = refused(shop)

    assert done.status == 2
    assert "--retention or ZIET_RETENTION" in done.err


def test_why_it_ends_is_json_too_where_the_log_is(ziet: Ziet, shop: Project) -> None:
    (shop.folder / "broken.py").write_text("from ziet import Action\n\nprices = {}['missing']\n")
    done = refused(shop, "--log-format", "json")
    [last] = [line for line in map(json.loads, done.err.splitlines()) if line["level"] == "ERROR"]

    assert done.status == 1
    assert "KeyError: 'missing'" in last["message"]


def test_a_folder_that_others_may_write_to_is_warned_of(ziet: Ziet, shop: Project) -> None:
    state = ziet.scratch / "state"
    state.mkdir()
    state.chmod(0o777)
    with ziet.serve(shop) as server:
        server.logged(f"others may write to the state folder {state}")


def test_an_interpreter_that_does_not_come_to_ziet_ends_with_the_server(ziet: Ziet, shop: Project) -> None:
    began = ziet.scratch / "began"
    python = ziet.scratch / "python"
    python.write_text(f"#!/bin/sh\necho $$ > {began}.part && mv {began}.part {began}\nexec sleep 600\n")
    python.chmod(0o755)
    options = ["--sandbox", "off", "--python", str(python), "--state", str(ziet.scratch / "state")]
    running = shop.start("serve", "--listen", "127.0.0.1:0", *options)
    until = time.monotonic() + 30
    while not began.exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    sleeping = psutil.Process(int(began.read_text()))
    running.process.kill()
    running.finish()

    _, alive = psutil.wait_procs([sleeping], timeout=5)
    assert not alive
    ziet.remove_folders()


def test_old_runs_are_pruned(ziet: Ziet, shop: Project) -> None:
    state = str(ziet.scratch / "state")
    with ziet.serve(shop) as server:
        run = server.finished("double", number=1)["id"]
        running = shop("prune", "--older-than", "0s", "--state", state)
        wrong = [shop("prune", "--older-than", age) for age in ("-1d", "36501d")]
        server.stop()
        young = shop("prune", "--older-than", "1h", "--state", state)
        pruned = shop("prune", "--older-than", "0s", "--state", state, "--json")
        server.start()

        assert running.status == 1
        assert all(done.status == 2 and "expected a duration of at most 36500d" in done.err for done in wrong)
        assert f"process {server.process.pid}" not in young.out
        assert (young.status, young.out) == (0, "removed 0 runs\n")
        assert pruned.document == {"runs": 1}
        assert server.request("GET", f"/v1/runs/{run}").status == 404


def test_a_server_removes_what_is_older_than_its_retention(ziet: Ziet, shop: Project) -> None:
    with ziet.serve(shop, "--retention", "1s") as server:
        server.finished("double", number=1)
        server.logged("removed 1 run")

        assert server.get("/v1/runs")["data"] == []


def test_commands_on_a_state_that_is_not_there_say_so(ziet: Ziet, shop: Project) -> None:
    nowhere = str(ziet.scratch / "nowhere")
    for command in (["prune"], ["backup", str(ziet.scratch / "copy.db")]):
        done = shop(*command, "--state", nowhere)

        assert done.status == 2
        assert nowhere in done.err
    assert not Path(nowhere).exists()


def test_the_state_is_kept_in_the_users_folder(ziet: Ziet, shop: Project) -> None:
    for variables, expected in (
        ({}, ziet.scratch / ".local/state/ziet"),
        ({"XDG_STATE_HOME": "/var/kept"}, Path("/var/kept/ziet")),
        ({"ZIET_STATE": "/srv/ziet"}, Path("/srv/ziet")),
    ):
        shown = shop("settings", "state", "--json", **variables)

        assert shown.document["value"] == str(expected)
