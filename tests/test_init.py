"""`ziet init`: what it writes works as it is, and it never changes a file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from inline_snapshot import snapshot

from program import REPOSITORY, Project, Ziet

FILES = ["ziet.toml", "actions.py", "tests/__init__.py", "tests/test_actions.py", "README.md", ".gitignore"]


def written(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_new_project_runs_at_once(ziet: Ziet) -> None:
    made = Project(ziet, ziet.scratch)("init", "shop")

    assert (made.status, made.err) == (0, "")
    assert made.out == snapshot("""\
Made the project shop:

  shop/ziet.toml
  shop/actions.py
  shop/tests/__init__.py
  shop/tests/test_actions.py
  shop/README.md
  shop/.gitignore

Try it:

  cd shop
  ziet run --local action place_order
  ziet actions
  python -m pytest
""")

    shop = Project(ziet, ziet.scratch / "shop")
    assert sorted(written(shop.folder)) == sorted(FILES)
    run = shop.run("place_order", "--json")
    assert run.status == 0
    assert run.err.startswith("note: test data: items=[")
    assert run.document["project_id"] == "shop"
    assert run.document["memory"] == {
        "price_pen": 1.5,
        "price_lamp": 29.9,
        "order": {"customer": "Ada", "items": ["pen", "lamp"], "total": 31.4},
    }
    assert shop.run("price_item", "-p", "item=pen", "-p", "quantity=3").memory == {"price_pen": 4.5}
    assert [action["id"] for action in shop.actions()] == ["place_order", "price_item"]


@pytest.mark.parametrize("command", [[sys.executable, "-m", "pytest"], [Path(sys.executable).with_name("pytest")]])
def test_the_tests_of_a_new_project_pass(ziet: Ziet, command: list[str | Path]) -> None:
    assert Project(ziet, ziet.scratch)("init", "shop").status == 0

    tested = subprocess.run(
        command,
        cwd=ziet.scratch / "shop",
        env=ziet.environment | {"PYTHONPATH": str(REPOSITORY / "python")},
        capture_output=True,
        text=True,
    )

    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert "3 passed" in tested.stdout


@pytest.mark.parametrize(
    ("folder", "name"), [("My Shop!", "My-Shop"), ("é", "project"), ("a.b_c-1", "a.b_c-1"), ("deep/er/till", "till")]
)
def test_the_name_is_the_folder_s(ziet: Ziet, folder: str, name: str) -> None:
    made = Project(ziet, ziet.scratch)("init", folder, "--json")

    assert made.document == {"name": name, "folder": str(ziet.scratch / folder), "files": FILES}
    run = Project(ziet, ziet.scratch / folder).run("price_item", "--json")
    assert run.document["project_id"] == name


def test_the_current_folder_is_the_default(ziet: Ziet) -> None:
    corner = ziet.write({"pyproject.toml": '[project]\nname = "till"\n', "notes.txt": "mine"}, "corner")

    made = corner("init")

    assert made.out == snapshot("""\
Made the project corner:

  ziet.toml
  actions.py
  tests/__init__.py
  tests/test_actions.py
  README.md
  .gitignore

Try it:

  ziet run --local action place_order
  ziet actions
  python -m pytest
""")
    assert written(corner.folder).keys() == {*FILES, "pyproject.toml", "notes.txt"}
    assert corner.run("price_item", "--json").document["project_id"] == "corner"


@pytest.mark.parametrize(
    ("there", "told"),
    [
        (["actions.py"], "actions.py is in"),
        (["README.md", "tests/test_actions.py"], "tests/test_actions.py, README.md are in"),
    ],
)
def test_nothing_is_overwritten(ziet: Ziet, there: list[str], told: str) -> None:
    project = ziet.write(dict.fromkeys(there, "mine"))

    refused = project("init", "--json")

    assert (refused.status, refused.out) == (2, "")
    assert refused.err.startswith(f"error: {told} {project.folder} already, and nothing was written\nhint: ")
    assert written(project.folder) == dict.fromkeys(there, b"mine")


def test_a_link_that_leads_nowhere_is_not_followed(ziet: Ziet) -> None:
    project = ziet.write({"empty/.keep": ""})
    (project.folder / "ziet.toml").symlink_to(ziet.scratch / "elsewhere")

    assert project("init").status == 2
    assert not (ziet.scratch / "elsewhere").exists()


def test_a_failure_midway_leaves_nothing(ziet: Ziet) -> None:
    project = ziet.write({"shop/tests": "a file where a folder is needed"})

    failed = project("init", "shop")

    assert failed.status == 1
    assert failed.err.startswith("error: nothing was written: ")
    assert written(project.folder) == {"shop/tests": b"a file where a folder is needed"}


def test_a_project_that_is_configured_elsewhere_is_left_alone(ziet: Ziet) -> None:
    project = ziet.write({"pyproject.toml": '[tool.ziet]\nname = "shop"\n'})

    refused = project("init")

    assert refused.status == 2
    assert "is a project of Ziet already: its pyproject.toml has [tool.ziet]" in refused.err
    assert list(written(project.folder)) == ["pyproject.toml"]


def test_a_project_within_another_is_told(ziet: Ziet) -> None:
    outer = ziet.write(
        {"ziet.toml": "", "outer.py": "from ziet import Action\n@Action(description='d')\ndef f(): ...\n"}
    )

    made = outer("init", "inner")

    assert made.status == 0
    assert made.err == (
        f"note: {outer.folder} is a project, too: each of the two leaves the actions of the other alone\n"
    )
    assert [action["id"] for action in outer.actions()] == ["outer.f"]


def test_another_project_is_not_where_it_is_made(ziet: Ziet) -> None:
    done = ziet.write({"pj/ziet.toml": ""})("init", "--project", "pj", "inner")

    assert (done.status, done.err) == (2, "error: --project is not for `ziet init`: name the folder after it\n")
