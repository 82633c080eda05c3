"""Where a project is, what is in it, and what becomes of modules that do not import."""

from __future__ import annotations

import subprocess

import pytest

from program import PROGRAM, Project, Ziet

HELLO = """
from ziet import Action, memory

@Action(description="Says hello")
def hello(name: str = "you") -> str:
    memory.add("hello", name)
    return f"hello {name}"
"""


def ids(project: Project) -> list[str]:
    return [action["id"] for action in project.actions()]


def test_without_configuration_the_current_folder_is_the_project(ziet: Ziet) -> None:
    project = ziet.write({"hello.py": HELLO, "plain.py": "raise SystemExit('imported for nothing')"}, "corner shop")

    run = project.run("hello", "--json").document
    assert (run["project_id"], run["action_id"], run["output"]) == ("corner-shop", "hello.hello", "hello you")
    assert ids(project) == ["hello.hello"]


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ({"ziet.toml": 'name = "shop"\nmodules = ["pay.cards"]'}, "shop"),
        ({"ziet.toml": 'modules = ["pay.cards"]', "pyproject.toml": '[project]\nname = "till"'}, "till"),
        ({"pyproject.toml": '[tool.ziet]\nname = "kiosk"\nmodules = ["pay.cards"]'}, "kiosk"),
        ({"pyproject.toml": '[project]\nname = "till"\n[tool.ziet]\nmodules = ["pay.cards"]'}, "till"),
        ({"ziet.toml": 'modules = ["pay.cards"]'}, "project"),
    ],
)
def test_a_configuration_names_the_project_and_its_modules(ziet: Ziet, files: dict[str, str], name: str) -> None:
    project = ziet.write({**files, "pay/__init__.py": "", "pay/cards.py": HELLO, "other.py": HELLO})

    assert ids(project) == ["pay.cards.hello"]
    assert project.run("hello", "--json").document["project_id"] == name


def test_the_project_is_found_from_a_folder_below(ziet: Ziet) -> None:
    ziet.write({"ziet.toml": 'name = "shop"', "hello.py": HELLO, "deep/er/readme": ""})

    below = Project(ziet, ziet.scratch / "project" / "deep" / "er")

    assert below.run("hello", "--json").document["project_id"] == "shop"


def test_a_src_folder_is_where_imports_start(ziet: Ziet) -> None:
    project = ziet.write(
        {
            "src/shop/__init__.py": "",
            "src/shop/prices.py": "PRICE = 5",
            "src/shop/actions.py": "from shop.prices import PRICE\n" + HELLO.replace('"you"', "str(PRICE)"),
            "tests/test_shop.py": HELLO,
        }
    )

    assert ids(project) == ["shop.actions.hello"]
    assert project.run("hello", "--json").document["output"] == "hello 5"


def test_tests_environments_and_hidden_folders_are_skipped(ziet: Ziet) -> None:
    project = ziet.write(
        {
            "hello.py": HELLO,
            "tests/helps.py": HELLO,
            "test_hello.py": HELLO,
            "conftest.py": HELLO,
            ".hidden/hello.py": HELLO,
            "env/pyvenv.cfg": "",
            "env/lib/hello.py": HELLO,
            "node_modules/hello.py": HELLO,
        }
    )

    assert ids(project) == ["hello.hello"]


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"ziet.toml": 'name = "shop"\nmodule = ["a"]'}, ["ziet.toml", "line 2", "`module`", "`modules`"]),
        ({"pyproject.toml": "[tool.ziet]\nretries = 3"}, ["pyproject.toml", "line 2", "`retries`"]),
        ({"ziet.toml": "name = 3"}, ["ziet.toml, line 1: name = 3: expected 1 to 128 of the characters"]),
        ({"ziet.toml": "name ="}, ["ziet.toml, line 1, column 7: not TOML"]),
    ],
)
def test_a_wrong_configuration_is_told_with_file_and_line(ziet: Ziet, files: dict[str, str], told: list[str]) -> None:
    done = ziet.write({**files, "hello.py": HELLO}).run("hello")

    assert (done.status, done.out) == (2, "")
    assert all(text in done.err for text in told), done.err


def test_a_module_that_is_not_there_is_told(ziet: Ziet) -> None:
    project = ziet.write({"ziet.toml": 'modules = ["hello", "nowhere"]', "hello.py": HELLO})

    done = project.run("hello")

    assert done.status == 0
    assert "No module named 'nowhere'" in done.err


def test_no_actions_at_all(ziet: Ziet) -> None:
    project = ziet.write({"plain.py": "x = 1"})

    ran, listed = project.run("hello"), project("actions")

    for done in (ran, listed):
        assert (done.status, done.out) == (2, "")
        assert done.err.startswith(f"error: no actions in {project.folder}\nhint: ")
    assert project("actions", "--json").out == "[]\n"


BROKEN = """
from ziet import Action

@Action(description="Defined before the mistake")
def early():
    return 1

import nowhere
"""


def test_a_broken_module_blocks_only_its_own_actions_and_is_told(ziet: Ziet) -> None:
    project = ziet.write({"broken.py": BROKEN, "hello.py": HELLO})

    good, bad, listed = project.run("hello"), project.run("early"), project("actions", "--json")

    assert (good.status, good.memory) == (0, {"hello": "you"})
    assert (bad.status, bad.out) == (2, "")
    assert [action["id"] for action in listed.document] == ["hello.hello"]
    for done in (good, bad, listed):
        assert done.err.startswith("warning: module broken does not import, so its actions are missing\n")
        assert f'File "{project.folder}/broken.py", line 8, in <module>\n    import nowhere\n' in done.err
        assert "ModuleNotFoundError: No module named 'nowhere'\n" in done.err
        assert "ziet/_" not in done.err


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("def f(:", "SyntaxError"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("@Action()\ndef f(): ...", "@Action has no description"),
        ("@Action(description='d', timeout=901)\ndef f(): ...", "timeout must be a whole number from 1 to 900 seconds"),
        ("@Action(description='d', retries=101)\ndef f(): ...", "retries must be a whole number from 0 to 100"),
        ("@Action(description='d', retry=1)\ndef f(): ...", "unknown option 'retry'; did you mean 'retries'?"),
        ("@Action(description='d', id='a b')\ndef f(): ...", "id 'a b' has characters outside A-Za-z0-9_.:-"),
        ("@Action(description='d')\ndef f(x: Nowhere): ...", "NameError: name 'Nowhere' is not defined"),
        (
            "@Action(description='d')\ndef f(x: 'Nowhere'): ...",
            "the type of parameter 'x', Nowhere, cannot be resolved",
        ),
        ("@Action(description='d')\ndef f():\n    yield 1", "a generator cannot be an action"),
        ("f = Action(description='d')(lambda: 1)", "a lambda cannot be an action"),
        ("@Action(description='d')\ndef f(*args): ...", "*args cannot be given by name"),
        (
            "@Action(id='same', description='d')\ndef f(): ...\n@Action(id='same', description='d')\ndef g(): ...",
            "the id 'same' belongs to f (",
        ),
    ],
)
def test_every_way_not_to_import_is_told(ziet: Ziet, source: str, told: str) -> None:
    project = ziet.write({"wrong.py": f"from ziet import Action\n{source}\n", "hello.py": HELLO})

    done = project.run("hello")

    assert done.status == 0
    # A type is looked at when all is imported, so that the module's other actions are there.
    missing = (
        "action wrong.f is defined wrongly, so it is"
        if "'Nowhere'" in source
        else "module wrong does not import, so its actions are"
    )
    assert f"warning: {missing} missing\n" in done.err
    assert told in done.err
    assert "wrong.py" in done.err


def test_an_import_that_dies_is_told(ziet: Ziet) -> None:
    project = ziet.write({"dies.py": "import ziet, os, sys\nprint('last words', flush=True)\nos._exit(3)"})

    done = project.run("any")

    assert (done.status, done.out) == (1, "")
    assert "ended (exit status 3) while it imported the project" in done.err
    assert "last words" in done.err


def test_what_an_import_prints_is_shown_in_the_run(ziet: Ziet) -> None:
    project = ziet.write({"hello.py": f"import sys\nprint('loading')\nprint('beware', file=sys.stderr)\n{HELLO}"})

    done = project.run("hello")

    assert {"[INFO] loading", "[WARN] beware"} <= set(done.lines)
    assert project("actions", "--json").document[0]["id"] == "hello.hello"


def test_actions_are_listed(ziet: Ziet) -> None:
    project = ziet.write(
        {
            "ziet.toml": "",
            "a.py": HELLO,
            "b.py": "from ziet import Action\n@Action(id='z', name='Last One', description='d', timeout=5, retries=2)\n"
            "def last(x: int, y: list[str], *, z: float = 0.5, **more: int) -> None: ...\n",
        }
    )

    assert project("actions").out == (
        'Hello  a.hello\n  Says hello\n  (name: str = "you")\n  a.py:4\n\n'
        "Last One  z\n  d\n  (x: int, y: list[str], z: float = 0.5)\n  b.py:2\n\n"
    )
    hello, last = project.actions()
    described = {"input_schema", "output_schema", "documentation", "stores", "raises", "returns"}
    assert described < hello.keys()
    assert hello["parameters"][0].pop("description") is None
    assert {key: value for key, value in hello.items() if key not in described} == {
        "id": "a.hello",
        "name": "Hello",
        "description": "Says hello",
        "module": "a",
        "function": "hello",
        "file": str(project.folder / "a.py"),
        "line": 4,
        "timeout": 300,
        "retries": 0,
        "parameters": [{"name": "name", "type": "str", "required": False, "default": "you", "text": "always"}],
        "accepts_unknown": False,
        "memory": 10 * 1024**3,
        "isolation": "shared",
        "on_lost": "rerun",
    }
    assert (last["timeout"], last["retries"], last["accepts_unknown"]) == (5, 2, True)


def test_one_module_may_use_another(ziet: Ziet) -> None:
    project = ziet.write(
        {
            "hello.py": HELLO,
            "uses.py": "from hello import hello\nfrom ziet import Action\n"
            "@Action(description='d')\ndef twice():\n    return [hello('a'), hello('b')]\n",
        }
    )

    done = project.run("twice", "--json")

    assert done.document["output"] == ["hello a", "hello b"]
    assert done.document["memory"] == {"hello": "b"}


def test_files_in_the_current_folder_and_the_environment_are_there(ziet: Ziet) -> None:
    project = ziet.write(
        {
            "data.txt": "from a file",
            "reads.py": "import os\nfrom ziet import Action\n@Action(description='d')\n"
            "def reads():\n    return [open('data.txt').read(), os.environ['SETTING']]\n",
        }
    )

    assert project.run("reads", "--json", SETTING="set").document["output"] == ["from a file", "set"]


def test_what_a_build_left_is_no_part_of_the_project(ziet: Ziet) -> None:
    old = "from ziet import Action\n@Action(id='pay', description='Pays')\ndef pay():\n    return 'old'\n"
    project = ziet.write({"build/lib/shop/pay.py": old, "shop/pay.py": old.replace("old", "new"), "ziet.toml": ""})
    assert project.run("pay").said('returned "new"')


def test_nothing_but_modules_that_do_not_import_is_a_failure(ziet: Ziet) -> None:
    project = ziet.write({"actions.py": "from ziet import Action\nimport nowhere\n"})
    listed = project("actions", "--json")
    assert (listed.status, listed.document) == (1, [])
    done = project.run("pay")
    assert done.status == 2
    assert "it may be in a module that does not import, see above" in done.err


def test_a_full_disk_is_told(ziet: Ziet) -> None:
    project = ziet.write({"actions.py": "from ziet import Action\n@Action(description='x')\ndef f(): ...\n"})
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [PROGRAM, "run", "--local", "action", "f"],
            cwd=project.folder,
            env=ziet.environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert "No space left on device" in done.stderr


@pytest.mark.parametrize("start", ["fork", "spawn"])
@pytest.mark.parametrize(
    "done",
    [
        "sys.stdout = sys.stderr = None",
        "sys.stdout.close(); sys.stderr.close()",
        "del sys.stdout, sys.stderr",
        "os.close(0); os.close(1); os.close(2)",
        "sys.modules['numpy.random'] = sys",
    ],
)
def test_what_a_project_does_to_its_streams_harms_nobody(ziet: Ziet, done: str, start: str) -> None:
    actions = f"""
import os, sys
from ziet import Action
{done}

@Action(description="Prints")
def prints() -> int:
    print("seen")
    return 1
"""
    run = ziet.write({"actions.py": actions}).run("prints", ZIET_START=start)

    assert run.status == 0, run
    assert run.said("[INFO] seen")


def test_a_project_that_cannot_be_forked_ends_its_runs(ziet: Ziet) -> None:
    actions = """
import os
from ziet import Action
os.register_at_fork(before=lambda: os._exit(7))

@Action(description="Cannot be reached", retries=3)
def never() -> None: ...
"""
    run = ziet.write({"actions.py": actions}).run("never", "--json")

    assert run.status == 1
    assert run.document["error"]["code"] == "import_failed"
    assert "ended (exit status 7)" in run.document["error"]["message"]
