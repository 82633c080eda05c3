"""Deploying versions of a project on a server: which of them executes what, and what fails without harm."""

from __future__ import annotations

import json
import os
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from bundles import PAUSE_SECONDS, built, bundle, deploy, upload
from program import Ziet
from server import Server

CODE = """
import os, time
from ziet import Action, memory

GREETING = os.environ.get("GREETING")

@Action(id="version", description="Says which version it is")
def version() -> str:
    return VERSION

@Action(id="greet", description="Says what it was given")
def greet() -> list[str | None]:
    return [GREETING, os.environ.get("GREETING")]

@Action(id="hold", description="Waits until the file is there, and calls another action")
def hold(file: str) -> list[str | None]:
    memory.add("reached", True)
    while not os.path.exists(file):
        time.sleep(0.01)
    return [version(), *greet()]
"""
OLD_ONLY = """
@Action(id="old", description="Is there only in the first version")
def old() -> str:
    return VERSION
"""


def files(version: str, more: str = "", toml: str = "") -> dict[str, str]:
    return {"actions.py": f"VERSION = {version!r}\n{CODE}{more}", "ziet.toml": f"concurrency = 2\n{toml}"}


def serve(ziet: Ziet, *options: str) -> Server:
    """A server that serves what is deployed on it, without a sandbox."""
    return ziet.serve(ziet.write({"readme.txt": ""}, "empty"), "--sandbox", "off", *options)


def held(server: Server, gate: Path) -> str:
    """A run that is under way and waits for the file."""
    run = server.submit("hold", file=str(gate))
    end = time.monotonic() + 60
    while not server.get(f"/v1/runs/{run}/memory")["data"]:
        assert time.monotonic() < end
        time.sleep(PAUSE_SECONDS)
    return run


def output(server: Server, run: str) -> object:
    document = server.wait(run)
    assert document["status"] == "completed", document
    return document["output"]


def test_a_project_comes_into_being_with_its_first_deployment(ziet: Ziet) -> None:
    with serve(ziet) as server:
        server.logged("nothing is deployed yet")
        missing = server.request("POST", "/v1/runs", {"action_id": "version"}, **{"Ziet-Project": "shop"})
        assert (missing.status, missing.document["code"]) == (404, "project_not_found")

        first = deploy(server, files("one"))

        assert (first["status"], first["active"], first["error"]) == ("ready", True, None), first
        assert first["version"] == first["digest"][:12]
        assert first["actions"] == ["greet", "hold", "version"]
        assert server.finished("version")["output"] == "one"
        assert server.finished("version")["deployment_id"] == first["id"]
        log = server.request("GET", f"/v1/deployments/{first['version']}/log")
        assert "action version" in log.text
        assert log.text.splitlines()[-1] == "active"


def test_runs_stay_with_the_version_that_has_accepted_them(ziet: Ziet, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with serve(ziet) as server:
        first = deploy(server, files("one", OLD_ONLY))
        running = [held(server, gate), held(server, gate)]
        queued = [server.submit("version") for _ in range(50)]
        disappearing = server.submit("old")

        second = deploy(server, files("two"))

        after = server.submit("version")
        refused = server.request("POST", "/v1/runs", {"action_id": "old"})
        assert (refused.status, refused.document["code"]) == (404, "action_not_found")
        assert f"version {first['version']} had it last" in refused.document["detail"]
        gate.touch()
        assert [output(server, run) for run in queued] == ["one"] * 50
        assert [output(server, run)[0] for run in running] == ["one"] * 2  # type: ignore[index]
        assert output(server, disappearing) == "one"
        assert output(server, after) == "two"
        assert server.run(after)["deployment_id"] == second["id"]
        again = server.request("POST", f"/v1/runs/{queued[0]}/retry?wait=60", {})
        assert again.document["output"] == "two", "a new run is of the active version"


def test_going_back_to_an_earlier_version(ziet: Ziet) -> None:
    with serve(ziet) as server:
        first = deploy(server, files("one"))
        second = deploy(server, files("two"))

        back = server.request("POST", f"/v1/deployments/{first['version'][:6]}/activate")

        assert (back.status, back.document["id"], back.document["active"]) == (200, first["id"], True)
        assert server.finished("version")["output"] == "one"
        listed = server.get("/v1/deployments")["data"]
        assert [(one["id"], one["active"]) for one in listed] == [(second["id"], False), (first["id"], True)]
        unknown = server.request("POST", "/v1/deployments/0000000/activate")
        assert (unknown.status, unknown.document["code"]) == (404, "deployment_not_found")


def test_the_same_content_twice_changes_nothing(ziet: Ziet) -> None:
    with serve(ziet) as server:
        first = deploy(server, files("one"))
        again = upload(server, bundle(files("one")))
        assert (again.status, again.document) == (200, first)
        assert len(server.get("/v1/deployments")["data"]) == 1
        deploy(server, files("two"))
        back = upload(server, bundle(files("one")))
        assert (back.status, back.document["id"], back.document["active"]) == (200, first["id"], True)
        assert server.finished("version")["output"] == "one"


BROKEN = {
    "a module that fails": ({"actions.py": "import ziet\n\n1 / 0\n"}, "actions.py", "line 3"),
    "no Python": ({"actions.py": "import ziet\ndef (:\n"}, "actions.py", "line 2"),
    "a wrong definition": (
        {"actions.py": "from ziet import Action\n\n@Action(timeout='long')\ndef f() -> None: ...\n"},
        "actions.py",
        "line 3",
    ),
    "no actions": ({"actions.py": "import ziet\n"}, "no actions", ""),
    "wrong settings": ({"actions.py": CODE, "ziet.toml": "concurrency = 'many'\n"}, "ziet.toml, line 1", "concurrency"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_does_not_work_never_becomes_active_and_says_where(ziet: Ziet, kind: str) -> None:
    content, place, line = BROKEN[kind]
    with serve(ziet) as server:
        first = deploy(server, files("one"))

        failed = deploy(server, content)

        assert (failed["status"], failed["active"]) == ("failed", False)
        told = failed["error"]["message"]
        assert place in told, told
        assert line in told, told
        assert str(server.state) not in told, "places are those in the project"
        assert told.splitlines()[0] in failed["error"]["log_tail"]
        assert server.finished("version")["output"] == "one"
        refused = server.request("POST", f"/v1/deployments/{failed['id']}/activate")
        assert (refused.status, refused.document["code"]) == (409, "deployment_not_ready")
        assert server.get(f"/v1/deployments/{first['id']}")["active"]


def test_what_is_no_bundle_is_refused(ziet: Ziet) -> None:
    with serve(ziet) as server:
        garbage = upload(server, b"garbage")
        assert (garbage.status, garbage.document["code"]) == (422, "invalid_bundle")
        outside = upload(server, bundle({"../outside.py": ""}))
        assert (outside.status, outside.document["code"]) == (422, "invalid_bundle")
        kind = upload(server, bundle(files("one")), **{"Content-Type": "application/zip"})
        assert (kind.status, kind.document["code"]) == (415, "unsupported_media_type")
        name = upload(server, bundle(files("one")), "../shop")
        assert (name.status, name.document["code"]) == (422, "invalid_request")
        key = server.request("POST", "/v1/keys", {"name": "runs", "scopes": ["run"]}, **{"Ziet-Project": "shop"})
        assert key.status == 404, "there is no project yet"
        assert not list((server.state / "uploads").iterdir())
        assert server.get("/v1/status")["projects"] == []


def test_a_folder_that_is_served_takes_no_deployment(ziet: Ziet) -> None:
    project = ziet.write(files("folder"), "shop")
    with ziet.serve(project, "--sandbox", "off") as server:
        refused = upload(server, bundle(files("one")))
        assert (refused.status, refused.document["code"]) == (409, "served_from_folder")
        [only] = server.get("/v1/deployments")["data"]
        assert (only["version"], only["active"], only["digest"]) == ("folder", True, None)


def test_variables_reach_the_import_and_the_action_and_attempts_under_way_keep_theirs(
    ziet: Ziet, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    with serve(ziet) as server:
        early = server.request("PUT", "/v1/environment/GREETING", {"value": "hello"}, **{"Ziet-Project": "shop"})
        assert (early.status, early.document) == (200, {"error": None})
        deploy(server, files("one", toml="[env]\nGREETING = 'from the file'\n"))
        assert server.finished("greet")["output"] == ["hello", "hello"]
        run = held(server, gate)

        server.request("PUT", "/v1/environment/GREETING", {"value": "good bye\n="})

        assert server.finished("greet")["output"] == ["good bye\n="] * 2
        assert server.run(run)["status"] == "running"
        gate.touch()
        assert output(server, run) == ["one", "good bye\n=", "good bye\n="]
        [variable] = server.get("/v1/environment")["data"]
        assert variable.keys() == {"name", "updated_at"}
        assert variable["name"] == "GREETING"
        assert server.request("DELETE", "/v1/environment/GREETING").status == 200
        assert server.finished("greet")["output"] == ["from the file"] * 2
        gone = server.request("DELETE", "/v1/environment/GREETING")
        assert (gone.status, gone.document["code"]) == (404, "variable_not_found")


def test_a_variable_that_breaks_the_import_leaves_what_works(ziet: Ziet) -> None:
    guard = "\nif GREETING == 'bad':\n    raise RuntimeError('no greeting')\n"
    with serve(ziet) as server:
        deploy(server, files("one", guard))
        told = server.request("PUT", "/v1/environment/GREETING", {"value": "bad"})
        assert told.status == 200
        assert "no greeting" in told.document["error"]
        assert server.finished("greet")["output"] == [None, None]
        server.request("PUT", "/v1/environment/GREETING", {"value": "good"})
        assert server.finished("greet")["output"] == ["good", "good"]


@pytest.mark.parametrize("name", ["1A", "A-B", "ZIET_KEY", "A%20B"])
def test_a_name_that_no_variable_has_is_refused(ziet: Ziet, name: str) -> None:
    with serve(ziet) as server:
        refused = server.request("PUT", f"/v1/environment/{name}", {"value": "x"}, **{"Ziet-Project": "shop"})
        assert (refused.status, refused.document["code"]) == (422, "invalid_request")


def test_a_server_that_is_started_again_goes_on_with_each_version(ziet: Ziet, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with serve(ziet) as server:
        deploy(server, files("one"))
        server.request("PUT", "/v1/environment/GREETING", {"value": "hello"})
        running = [held(server, gate), held(server, gate)]
        queued = [server.submit("version") for _ in range(20)]
        second = deploy(server, files("two", toml="[env]\nOTHER = '1'\n"))
        server.kill()
        gate.touch()

        server.start()

        at_once = server.submit("version")
        assert output(server, at_once) == "two"
        assert [output(server, run) for run in queued] == ["one"] * 20
        assert [output(server, run) for run in running] == [["one", "hello", "hello"]] * 2
        assert server.finished("greet")["output"] == ["hello", "hello"]
        assert server.get("/v1/status")["projects"][0]["deployment"] == {
            "id": second["id"],
            "version": second["version"],
        }


def test_a_deployment_survives_the_death_of_its_server(ziet: Ziet, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    slow = f"\nwhile not os.path.exists({str(gate)!r}):\n    time.sleep(0.01)\n"
    with serve(ziet) as server:
        deploy(server, files("one"))
        uploaded = upload(server, bundle(files("two", slow)))
        assert uploaded.status == 202
        assert uploaded.document["status"] == "building"
        (server.state / "uploads" / "half").mkdir()
        server.kill()
        assert (server.state / "uploads" / "half").exists()

        server.start()

        assert server.finished("version")["output"] == "one"
        assert not (server.state / "uploads" / "half").exists()
        assert server.get(f"/v1/deployments/{uploaded.document['id']}")["status"] == "building"
        gate.touch()
        assert built(server, uploaded.document["id"])["status"] == "ready"
        assert server.finished("version")["output"] == "two"


def test_the_state_is_closed_to_others(ziet: Ziet) -> None:
    with serve(ziet) as server:
        deploy(server, files("one"))
        assert server.state.joinpath("uploads").stat().st_mode & 0o077 == 0
        # What is executed as another user must be reached by it, but no more.
        for folder in (server.state, server.state / "deployments"):
            assert folder.stat().st_mode & 0o066 == 0
        assert os.stat(server.state / "ziet.db").st_mode & 0o077 == 0


def test_deployed_code_is_shut_in(ziet: Ziet) -> None:
    code = f"""
from ziet import Action

@Action(id="peek", description="Looks at the state of the server")
def peek() -> list[str]:
    found = []
    for file in ("ziet.db", "admin.key"):
        try:
            open({str(ziet.scratch / "state")!r} + "/" + file).read()
            found.append(file)
        except OSError:
            pass
    return found
"""
    with ziet.serve(ziet.write({"readme.txt": ""}, "empty")) as server:
        assert deploy(server, {"actions.py": code})["status"] == "ready"
        assert server.finished("peek")["output"] == []


def test_a_version_that_no_run_needs_is_removed_after_a_while(ziet: Ziet, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with serve(ziet, "--retention", "1s") as server:
        first = deploy(server, files("one"))
        run = held(server, gate)
        deploy(server, files("two"))
        code = server.state / "deployments" / "shop" / first["digest"] / "code"
        unused = deploy(server, files("three"))
        deploy(server, files("four"))
        gone = server.state / "deployments" / "shop" / unused["digest"] / "code"
        end = time.monotonic() + 60
        while gone.exists():
            assert time.monotonic() < end
            time.sleep(PAUSE_SECONDS)
        assert code.exists(), "a run of it is under way"
        gate.touch()
        assert output(server, run) == ["one", None, None]
        while code.exists():
            assert time.monotonic() < end
            time.sleep(PAUSE_SECONDS)
        refused = server.request("POST", f"/v1/deployments/{first['id']}/activate")
        assert refused.status in (404, 409), "what is known of it goes as well, a little later"
        assert server.finished("version")["output"] == "four"
        again = deploy(server, files("one"))
        assert (again["status"], again["version"]) == ("ready", first["version"])


def test_a_log_is_followed_to_its_end(ziet: Ziet, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    slow = f"\nwhile not os.path.exists({str(gate)!r}):\n    time.sleep(0.01)\n"
    with serve(ziet) as server:
        sent = upload(server, bundle(files("one", slow)))
        path = f"/v1/deployments/{sent.document['id']}/log"
        request = urllib.request.Request(
            server.url + path,
            headers={
                "Authorization": f"Api-Key {server.key}",
                "Accept": "text/event-stream",
                "Ziet-Project": "shop",
            },
        )
        events: list[tuple[str, dict[str, Any]]] = []
        with urllib.request.urlopen(request, timeout=60) as answer:
            kind = ""
            for line in answer:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name == "event":
                    kind = value
                elif name == "data":
                    events.append((kind, json.loads(value)))
                    if value == '{"text":"importing it"}':
                        gate.touch()
        lines = [data["text"] for kind, data in events if kind == "line"]
        assert lines == server.request("GET", path).text.splitlines()
        assert events[-1][0] == "end"
        assert events[-1][1]["status"] == "ready"
        assert events[-1][1]["actions"] == ["greet", "hold", "version"]


def test_the_status_tells_of_each_project_to_whom_it_belongs(ziet: Ziet) -> None:
    with serve(ziet) as server:
        shop = deploy(server, files("one"))
        deploy(server, files("two"), "other")
        status = server.get("/v1/status")
        assert [project["project_id"] for project in status["projects"]] == ["other", "shop"]
        assert status["projects"][1]["deployment"] == {"id": shop["id"], "version": shop["version"]}
        assert (status["draining"], status["store_down"]) == (False, False)
        assert status["disk"]["state_bytes"] > 0 < status["disk"]["free_bytes"]
        key = server.request("POST", "/v1/keys", {"name": "r", "scopes": ["read"]}, **{"Ziet-Project": "other"})
        own = server.request("GET", "/v1/status", Authorization=f"Api-Key {key.document['key']}").document
        assert [project["project_id"] for project in own["projects"]] == ["other"]
        refused = upload(server, bundle(files("three")), "other", Authorization=f"Api-Key {key.document['key']}")
        assert (refused.status, refused.document["code"]) == (403, "scope_missing")
