"""How clients reach `ziet serve`: while it starts, with encryption, with a log that nobody reads, and full."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from program import Project, Ziet
from server import PATIENCE_SECONDS, Server
from test_serve import SHOP, refused

CERTIFICATES = Path(__file__).parent.parent / "crates/ziet-server/tests/api/certificates"


@pytest.fixture
def shop(ziet: Ziet) -> Project:
    return ziet.write(SHOP)


def test_what_there_is_can_be_read_while_the_project_is_imported(ziet: Ziet) -> None:
    project = ziet.write(SHOP | {"slow.py": SLOW})
    gate = project.folder / "gate"
    gate.touch()
    with ziet.serve(project) as server:
        run = server.finished("double", number=1)["id"]
        server.kill()
        gate.unlink()
        starting = threading.Thread(target=server.start)
        starting.start()
        server.url = f"http://127.0.0.1:{port(server)}"
        ready, late = server.request("GET", "/readyz"), server.request("POST", "/v1/runs", {"action_id": "double"})
        read = server.run(run)
        gate.touch()
        starting.join()
        while server.request("GET", "/readyz").status != 200:
            time.sleep(0.02)

        assert read["output"] == 2
        assert (ready.status, ready.document["code"]) == (503, "not_ready")
        assert (late.status, late.headers["retry-after"]) == (503, "1")
        assert server.finished("double", number=3)["output"] == 6


SLOW = """\
import time
from pathlib import Path

while not (Path(__file__).parent / "gate").exists():
    time.sleep(0.01)
"""


def port(server: Server) -> int:
    """Where it listens, which it tells only once it can be used as a whole."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        # Until the new one is there it is the old one that is looked at.
        with contextlib.suppress(psutil.Error):
            for connection in psutil.Process(server.process.pid).net_connections("tcp4"):
                if connection.status == psutil.CONN_LISTEN:
                    return connection.laddr.port
        time.sleep(0.02)
    raise AssertionError("it does not listen")


def test_nobody_is_held_up_by_a_log_that_nobody_reads(ziet: Ziet, shop: Project) -> None:
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    state = ziet.scratch / "state"
    arguments = [ziet.program, "serve", "--state", str(state), "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(arguments, cwd=shop.folder, env=ziet.environment, stderr=write, text=True)
    ziet.started.append(process)
    os.close(write)
    with open(read, encoding="utf-8") as log:
        listens = next(line for line in log if "listens on" in line)
        url = listens.split('address="')[1].split('"')[0]
        # Each is a line of about 150 bytes.
        for _ in range(200):
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(f"{url}/v1/runs", timeout=PATIENCE_SECONDS)
        process.terminate()
        said = log.read()
        assert process.wait(PATIENCE_SECONDS) == 0

    assert said.count("answered GET /v1/runs: 401") == 200
    assert "ended" in said.splitlines()[-1]


def test_connections_are_encrypted_where_there_is_a_certificate(ziet: Ziet, shop: Project) -> None:
    trusts = ssl.create_default_context(cafile=CERTIFICATES / "first.pem")
    tls = ("--tls-cert", str(CERTIFICATES / "first.pem"), "--tls-key", str(CERTIFICATES / "first.key"))
    with ziet.serve(shop, *tls) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        request = urllib.request.Request(f"{url}/v1/runs", headers={"Authorization": f"Api-Key {server.key}"})
        with urllib.request.urlopen(request, context=trusts, timeout=PATIENCE_SECONDS) as answer:
            assert json.load(answer)["data"] == []
        with pytest.raises((OSError, http.client.HTTPException)):
            urllib.request.urlopen(url.replace("https", "http"), timeout=PATIENCE_SECONDS)


def test_a_certificate_that_is_none_is_told_before_it_listens(ziet: Ziet, shop: Project) -> None:
    wrong = ziet.scratch / "wrong.pem"
    wrong.write_text("-----BEGIN CERTIFICATE-----\nnothing\n")
    done = refused(shop, "--tls-cert", str(wrong), "--tls-key", str(CERTIFICATES / "first.key"))

    assert done.status == 2
    assert str(wrong) in done.err
    assert "listens on" not in done.err


def test_a_proxy_may_be_the_one_who_encrypts(ziet: Ziet, shop: Project) -> None:
    with ziet.serve(shop, "--behind-proxy", "--listen", "0.0.0.0:0", "--host", "shop.example.com") as server:
        answer = server.request("GET", "/v1/runs", Host="shop.example.com")
        stranger = server.request("GET", "/v1/runs", Host="evil.example.com")

    assert (answer.status, stranger.status) == (200, 421)


def test_more_runs_than_may_be_unfinished_are_refused(ziet: Ziet, shop: Project) -> None:
    later = {"action_id": "double", "input": {"number": 1}, "delay_seconds": 3600}
    with ziet.serve(shop, "--max-queued", "2") as server:
        never = server.request("POST", "/v1/runs/batch", {"runs": [later] * 3})
        fits = server.request("POST", "/v1/runs/batch", {"runs": [later] * 2})
        later_on = server.request("POST", "/v1/runs", later)

    assert (never.status, fits.status, later_on.status) == (429, 202, 429)
    assert {never.document["code"], later_on.document["code"]} == {"too_many_runs"}
    assert int(later_on.headers["retry-after"]) >= 1
    assert "retry-after" not in never.headers, "waiting does not help"
