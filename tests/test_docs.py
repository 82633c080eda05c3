"""Every snippet of the documentation is run as a reader would run it, and every link leads somewhere.

`UPDATE_DOCS=1` writes what the commands of a page print into the page; read the difference before you commit it.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pages import Block, Files, Reader, blocks, pages, tokens
from program import REPOSITORY, Ziet
from test_tidy import tracked_files

# The first line of a block that is not run, by its page, with the reason.
EXCUSED = {
    ("README.md", "make demo    # builds everything into .venv and runs an example on a real data set"): (
        "they build this very program, and run this test"
    ),
    ("examples/flights/README.md", "$ pip install --no-deps -r requirements.txt"): "`make test` has installed them",
    ("docs/operations.md", "$ python3 -m venv /opt/ziet && /opt/ziet/bin/pip install . uv"): (
        "it is for root on a machine with systemd; test_deploy.py looks at the units"
    ),
    ("docs/operations.md", "$ docker build -f deploy/Dockerfile -t ziet ."): (
        "it needs a daemon of Docker; test_deploy.py looks at the file"
    ),
}


def name(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


def is_excused(block: Block) -> bool:
    return (block.page, block.first) in EXCUSED


@pytest.mark.parametrize("page", pages(), ids=name)
def test_every_snippet_of_a_page_does_what_it_shows(ziet: Ziet, page: Path) -> None:
    reader = Reader(ziet, page)
    wrong = [complaint for block in blocks(page) if not is_excused(block) for complaint in reader.read(block)]
    wrong += reader.end()
    if reader.renewed and os.environ.get("UPDATE_DOCS"):
        lines = page.read_text("utf-8").split("\n")
        for command, rows in reversed(reader.renewed):
            lines[command.line : command.line + len(command.shown)] = rows
        page.write_text("\n".join(lines), "utf-8")
    assert not wrong, "\n\n".join(["", *wrong])


def test_every_excuse_is_needed() -> None:
    firsts = {(block.page, block.first) for page in pages() for block in blocks(page)}

    assert set(EXCUSED) <= firsts


@pytest.mark.skipif(importlib.util.find_spec("pyright") is None, reason="pyright is not installed; `make lint` has it")
def test_the_python_of_the_pages_passes_pyright(tmp_path: Path) -> None:
    projects = {
        f"{number}-{version}": files
        for number, page in enumerate(pages())
        for version, files in enumerate(versions(page))
    }
    for folder, files in projects.items():
        files.write(tmp_path / folder)
    configuration = {"typeCheckingMode": "basic", "pythonVersion": "3.10", "extraPaths": [str(REPOSITORY / "python")]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(configuration))
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    def place(error: dict[str, Any]) -> str:
        folder, _, file = Path(error["file"]).relative_to(tmp_path).as_posix().partition("/")
        _, where = projects[folder].lines[file][error["range"]["start"]["line"]]
        return f"{where}: {error['message']}"

    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] >= len(projects)
    assert not [place(error) for error in report["generalDiagnostics"]]


def versions(page: Path) -> list[Files]:
    """The files that a page makes: before each one that it writes anew, and at its end."""
    found = [Files()]
    for block in blocks(page):
        if block.language != "python" or block.raises or is_excused(block):
            continue
        if block.file in found[-1].lines and not block.continues:
            found.append(Files(dict(found[-1].lines)))
        found[-1].add(block)
    return [files for files in found if files.lines]


def anchors(page: Path) -> set[str]:
    """What a link to a heading of the page may say after its #."""
    following = tokens(page)
    headings = [each.content for before, each in itertools.pairwise(following) if before.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_leads_somewhere() -> None:
    broken: list[str] = []
    for page in tracked_files():
        if page.suffix != ".md":
            continue
        inline = [child for token in tokens(page) for child in token.children or []]
        for link in (str(child.attrs["href"]) for child in inline if child.type == "link_open"):
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            if "://" in link or (target.exists() and (not anchor or anchor in anchors(target))):
                continue
            broken.append(f"{name(page)}: {link}")
    assert not broken, "\n".join(["", *broken])
