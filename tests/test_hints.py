"""The first hour: what a mistake says about the way out of it."""

from __future__ import annotations

import pytest

from program import Project, Ziet

SHOP = """
from ziet import Action, memory

@Action(description="d")
def order(items: list[str], paid: bool = False, note: str | None = None, data: dict[str, int] = {}, any=1) -> None:
    memory.add("order", [items, paid, note, data, any])
"""
GENERIC = "'{\"amount\": 10}'"


@pytest.fixture
def shop(ziet: Ziet) -> Project:
    return ziet.write({"shop.py": f"from __future__ import annotations\n{SHOP}", "input.json": '{"items": []}'})


@pytest.mark.parametrize(
    ("typed", "tip"),
    [
        (["run", "--local", "action", "order", "items=[1]"], "to give a parameter: `-p 'items=[1]'`"),
        (["run", "--local", "action", "order", "5"], "to give a parameter: `-p NAME=5`"),
        (["run", "--local", "action", "order", "--paid-at=5"], "to give a parameter: `-p paid_at=VALUE`"),
        (
            ["run", "--local", "action", "order", '{"a": 1}'],
            "to give the parameters as JSON: `--input '{\"a\": 1}'`",
        ),
        (["run", "--local", "order"], "to run an action of this name: `ziet run --local action order`"),
        (["order"], "to run an action of this name: `ziet run --local action order`"),
        (["two words"], "to run an action of this name: `ziet run --local action 'two words'`"),
        (["acton"], "a similar subcommand exists: 'actions'"),
        (["run", "action", "order", "--jsn"], "a similar argument exists: '--json'"),
    ],
)
def test_a_command_line_that_is_nearly_right(shop: Project, typed: list[str], tip: str) -> None:
    done = shop(*typed)

    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("error: un")
    assert f"\n\n  tip: {tip}\n\nUsage: ziet" in done.err


@pytest.mark.parametrize(
    ("given", "place", "hint"),
    [
        ("{'items': []}", "line 1 column 2\n  {'items': []}\n   ^", f"JSON has double quotes: {GENERIC}"),
        ("{items: []}", "line 1 column 2\n  {items: []}\n   ^", "names have double quotes, which a shell keeps only"),
        ('{"paid": True}', 'line 1 column 10\n  {"paid": True}\n           ^', "JSON has true, false and null"),
        ('{"items":\n["é\\u001b",]}', 'line 2 column 13\n  ["é\\u001b",]}\n             ^', "give an object such as"),
        (
            '{"a": "' + "x" * 99 + '" 1}',
            "line 1 column 109\n  " + "x" * 48 + '" 1}\n' + " " * 52 + "^",
            "give an object",
        ),
        ("input.json", "line 1 column 1\n  input.json\n  ^", "to read this file: --input @input.json"),
    ],
)
def test_input_that_is_no_json_is_shown_with_the_place(shop: Project, given: str, place: str, hint: str) -> None:
    done = shop.run("order", "--input", given)

    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("error: --input is not JSON: ")
    assert f" at {place}\nhint: {hint}" in done.err


@pytest.mark.parametrize("source", ["@marked.json", "-"])
def test_the_mark_at_the_beginning_of_a_file_is_skipped(shop: Project, source: str) -> None:
    (shop.folder / "marked.json").write_text('\ufeff{"items": []}')

    assert shop.run("order", "--input", source, stdin='\ufeff{"items": []}').status == 0


def test_input_in_another_encoding_is_told(shop: Project) -> None:
    (shop.folder / "wide.json").write_text('{"items": []}', encoding="utf-16")

    done = shop.run("order", "--input", "@wide.json")

    assert done.err == (
        "error: --input: wide.json is not UTF-8\n"
        "hint: save it as UTF-8; PowerShell writes UTF-16 unless it is told otherwise\n"
    )


def test_empty_input_is_told(shop: Project) -> None:
    assert shop.run("order", "--input", "-").err.startswith("error: --input is empty\nhint: ")


@pytest.mark.parametrize(
    ("param", "hint"),
    [
        ("items=pen,lamp", 'give a list: -p \'items=["pen", "lamp"]\''),
        ("items=[1, pen", "give a list: -p 'items=[1, \"pen\"]'"),
        ("paid=True", "JSON has other words than Python: -p paid=true"),
        ("data={a:1}", 'give an object: -p \'data={"key": "value"}\''),
        ("any=e\u0301\u200b", "a text needs its quotes: -p 'any=\"e\u0301\u200b\"'"),
        ("any=it's", "a text needs its quotes: -p 'any=\"it'\\''s\"'"),
    ],
)
def test_a_parameter_that_is_no_json_says_how_to_write_it(shop: Project, param: str, hint: str) -> None:
    done = shop.run("order", "-p", "items=[]", "-p", param)

    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"error: -p {param}: the value is not JSON (its hint is `")
    assert f"\nhint: {hint}\n" in done.err


def test_a_word_of_python_is_text_where_text_is_meant(shop: Project) -> None:
    assert shop.run("order", "-p", "items=[]", "-p", "note=None").memory["order"][2] == "None"


@pytest.mark.parametrize(
    ("file", "named"),
    [("my-actions.py", "my_actions.py"), ("my jobs/pay.py", "my_jobs/pay.py"), ("2024/pay.py", "_2024/pay.py")],
)
def test_a_file_that_cannot_be_a_module_is_named(ziet: Ziet, file: str, named: str) -> None:
    project = ziet.write({file: SHOP})
    told = (
        f"Python cannot import {file} by name: files and folders need names of letters, digits and `_`, such as {named}"
        "\n"
    )

    assert project.run("order").err == f"error: no actions in {project.folder}\nhint: {told}"
    assert project("actions").err == f"error: no actions in {project.folder}\nhint: {told}"
    (project.folder / "good.py").write_text(SHOP.replace("def order", "def other"))
    assert project.run("order").err.endswith(told)


def test_a_folder_below_a_project_without_configuration_is_told(ziet: Ziet) -> None:
    project = ziet.write({"shop.py": SHOP, "data/rows.csv": ""})

    done = Project(ziet, project.folder / "data").run("order")

    assert done.err == (
        f"error: no actions in {project.folder}/data\n"
        f"hint: shop.py in {project.folder} uses ziet: run this in that folder, or put an empty ziet.toml into it, and "
        "it is found from the folders below\n"
    )
    (project.folder / "ziet.toml").touch()
    assert Project(ziet, project.folder / "data").run("order").status == 0


def test_an_unknown_action_may_be_near_and_in_a_broken_module(ziet: Ziet) -> None:
    project = ziet.write({"shop.py": SHOP, "broken.py": "import ziet, nowhere\n"})

    assert project.run("ordr").err.endswith(
        "error: no action `ordr`\n"
        "hint: the nearest names: `shop.order`; it may be in a module that does not import, see above\n"
    )


def test_a_long_import_is_told_to_people_only(ziet: Ziet) -> None:
    project = ziet.write({"shop.py": f"import time\ntime.sleep(1.5)\n{SHOP}"})

    running, _ = project.start_in_terminal("run", "--local", "action", "order")
    shown = running.finish().out

    assert "importing the project takes long\r\n" in shown.splitlines(keepends=True)[0]
    assert "takes long" not in project.run("order").err


def test_a_parameter_without_a_name_is_told(shop: Project) -> None:
    done = shop("run", "--local", "action", "order", "-p", "=5")

    assert done.status == 2
    assert done.err == "error: -p =5: there is no name before the =\nhint: give a parameter as `-p key=value`\n"


def test_files_of_other_people_are_not_named(shop: Project) -> None:
    shop.folder /= "a/b/c/d"
    shop.folder.mkdir(parents=True)

    assert "shop.py" not in shop("actions").err
