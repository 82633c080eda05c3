"""Which server is asked and with which key, and what is told of those that cannot be."""

from __future__ import annotations

import json
import os
import re
import stat
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from inline_snapshot import snapshot

from driving import ACTIONS, own
from pages import free_address
from program import Ziet

CERTIFICATES = Path(__file__).parent.parent / "crates/ziet-server/tests/api/certificates"


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
