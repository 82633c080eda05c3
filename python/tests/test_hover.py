"""What an editor shows: pyright's language server is driven as an editor does it."""

from __future__ import annotations

import importlib.util
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pyright") is None, reason="pyright is not installed; `make lint` has it"
)

SDK = Path(__file__).resolve().parents[1]
CODE = '''\
from ziet import Action, memory


@Action(description="Greet somebody", retries=2)
def greet(name: str, *, times: int = 1) -> str:
    """Says hello to somebody.

    Args:
        name: Who is greeted.
    """
    memory.add("name", name)
    return name * times


@Action(description="Fetch a page")
async def fetch(url: str) -> list[str]:
    """Reads the lines of a page."""
    return [url]


async def use() -> None:
    greet("Ada", times=2)
    greet.local("Ada")
    await fetch("https://example.com")
'''


class Editor:
    """The client's end of the language server protocol."""

    def __init__(self, folder: Path) -> None:
        self._ids = itertools.count()
        self._server = subprocess.Popen(
            [sys.executable, "-m", "pyright.langserver", "--stdio"],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        where = {"uri": folder.as_uri(), "name": folder.name}
        self.request("initialize", processId=None, rootUri=folder.as_uri(), workspaceFolders=[where], capabilities={})
        self._send(method="initialized", params={})

    def close(self) -> None:
        self.request("shutdown")
        self._send(method="exit")
        self._server.communicate(timeout=30)

    def open(self, file: Path) -> None:
        document = {"uri": file.as_uri(), "languageId": "python", "version": 1, "text": file.read_text("utf-8")}
        self._send(method="textDocument/didOpen", params={"textDocument": document})

    def request(self, method: str, **params: Any) -> Any:
        asked = next(self._ids)
        self._send(id=asked, method=method, params=params)
        while True:
            message = self._receive()
            if "method" not in message:
                assert message["id"] == asked, message
                return message["result"]
            if "id" in message:
                # The server asks for settings; there are none.
                items = message.get("params", {}).get("items", [])
                self._send(id=message["id"], result=[None for _ in items])

    def _send(self, **message: Any) -> None:
        assert self._server.stdin is not None
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._server.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self._server.stdin.flush()

    def _receive(self) -> Any:
        assert self._server.stdout is not None
        headers = iter(self._server.stdout.readline, b"\r\n")
        lengths = [int(value) for name, _, value in (header.partition(b":") for header in headers) if b"Length" in name]
        assert lengths, "the language server has ended"
        return json.loads(self._server.stdout.read(lengths[0]))


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Editor, Path]]:
    folder = tmp_path_factory.mktemp("project")
    (folder / "pyrightconfig.json").write_text(json.dumps({"extraPaths": [str(SDK)], "pythonVersion": "3.10"}))
    file = folder / "actions.py"
    file.write_text(CODE, "utf-8")
    editor = Editor(folder)
    try:
        editor.open(file)
        yield editor, file
    finally:
        editor.close()


def position(before: str, after: str) -> dict[str, int]:
    """Where the line that holds both texts goes over from one to the other."""
    number, line = next((at, line) for at, line in enumerate(CODE.splitlines()) if before + after in line)
    return {"line": number, "character": line.index(before + after) + len(before)}


@pytest.mark.parametrize(
    ("before", "after", "signature", "documentation"),
    [
        ("    ", "greet(", "greet: ActionFunction[(name: str, *, times: int = 1), str]", "Says hello to somebody."),
        ("greet.", "local(", "local(name: str, *, times: int = 1) -> str", "name: Who is greeted."),
        ("await ", "fetch(", "fetch: ActionFunction[(url: str), ", "Reads the lines of a page."),
        ("memory.", "add(", "add(key: str, value: object, metadata: Mapping[str, Any] | None = None)", "Adds an entry"),
        ("@", "Action(", "class Action(*, description: str, id: str | None = None,", "Makes a function an action."),
    ],
)
def test_hover_shows_the_signature_and_the_docstring(
    editor: tuple[Editor, Path], before: str, after: str, signature: str, documentation: str
) -> None:
    server, file = editor

    shown = server.request("textDocument/hover", textDocument={"uri": file.as_uri()}, position=position(before, after))

    text: str = shown["contents"]["value"]
    # A signature may be broken into lines.
    assert signature.replace(" ", "") in "".join(text.split()), text
    assert documentation in text, text


@pytest.mark.parametrize(("before", "after"), [("greet(", '"Ada"'), ("greet.local(", '"Ada"')])
def test_the_parameters_are_offered_while_a_call_is_typed(editor: tuple[Editor, Path], before: str, after: str) -> None:
    server, file = editor

    shown = server.request(
        "textDocument/signatureHelp", textDocument={"uri": file.as_uri()}, position=position(before, after)
    )

    [signature] = shown["signatures"]
    assert signature["label"] == "(name: str, *, times: int = 1) -> str"
    assert signature["documentation"]["value"].startswith("Says hello to somebody.")
