"""Every failure that a user can meet in a local run, as it is shown: the texts stand in tests/shown.

After a change on purpose, `pytest tests/test_failures_shown.py -n 0 --inline-snapshot=create,fix` writes them again.
"""

from __future__ import annotations

import re
import sys

import pytest
from inline_snapshot import external_file

from program import REPOSITORY, Project, Ziet
from shown import LAST, file_of, shown

# The action, and what else is typed; the texts have the names of the actions, and of the cases beneath.
ACTIONS: dict[str, str] = {
    "exception": "raises raises_without_text raises_lines raises_much raises_escapes raises_from raises_while_handling "
    "raises_in_handler raises_from_none raises_with_notes raises_group raises_in_tasks raises_long_chain raises_deep "
    "recurses raises_far raises_with_locals compiles imports_nothing fails_twice raises_hopeless exits "
    "lets_child_fail wraps_child lets_child_die calls_wrongly forgets_to_await leaves_work",
    "timed_out": "spins sleeps_in_c waits",
    "crashed": "segfaults kills_itself exits_at_once aborts_with_words",
    "out_of_memory": "hogs hogs_elsewhere",
    "lost": "loses",
    "invalid_output": "returns_object returns_nan returns_much returns_text returns_coroutine",
    "invalid_memory": "stores_object stores_much stores_without_key",
    "memory_full": "fills_memory",
    "unknown_action": "calls_unknown",
    "call_depth": "calls_itself",
}

INPUTS: dict[str, tuple[str, ...]] = {
    "wrong_type": ("takes", "-p", "amount=ten"),
    "wrong_types": ("takes", "--input", '{"amount": 1.5, "region": 7}'),
    "missing": ("takes", "-p", "region=NY"),
    "unknown": ("takes", "-p", "amount=1", "-p", "regoin=NY"),
    "unknown_and_missing": ("takes", "--input", '{"total": 1}'),
    "null": ("takes", "-p", "amount=null"),
    "nested": ("takes_tables", "--input", '{"rows": [{"a": 1}, {"b": "x"}], "limits": {"m": []}}'),
    "not_json": ("takes", "--input", "{amount: 1}"),
    "no_object": ("takes", "--input", "[1]"),
    "no_file": ("takes", "--input", "@missing.json"),
    "no_equals_sign": ("takes", "-p", "amount"),
    "no_name": ("takes", "-p", "=1"),
}

COMMANDS: dict[str, tuple[str, ...]] = {
    "no_server": ("run", "action", "raises"),
    "memory_id": ("run", "--local", "action", "raises", "--memory", "m-1"),
    "no_action": ("run", "--local", "action"),
    "nothing_to_run": ("run", "--local"),
    "unknown_flag": ("run", "--local", "action", "raises", "--locls"),
    "unknown_command": ("rnu", "--local", "action", "raises"),
    "unknown_action": ("run", "--local", "action", "rases"),
    "far_from_any_action": ("run", "--local", "action", "something_else"),
}

DEFINITIONS: dict[str, str] = {
    "bare": "@Action\ndef f(): pass",
    "no_description": "@Action()\ndef f(): pass",
    "empty_description": '@Action(description=" ")\ndef f(): pass',
    "positional_description": '@Action("Does it")\ndef f(): pass',
    "unknown_option": '@Action(description="x", timout=3)\ndef f(): pass',
    "option_of_later": '@Action(description="x", schedule="0 * * * *")\ndef f(): pass',
    "timeout_too_long": '@Action(description="x", timeout=901)\ndef f(): pass',
    "timeout_no_number": '@Action(description="x", timeout="30")\ndef f(): pass',
    "retries_negative": '@Action(description="x", retries=-1)\ndef f(): pass',
    "retries_true": '@Action(description="x", retries=True)\ndef f(): pass',
    "empty_id": '@Action(description="x", id="")\ndef f(): pass',
    "id_with_space": '@Action(description="x", id="process payment")\ndef f(): pass',
    "id_too_long": '@Action(description="x", id="a" * 300)\ndef f(): pass',
    "empty_name": '@Action(description="x", name="")\ndef f(): pass',
    "id_twice": '@Action(description="x", id="one")\ndef f(): pass\n\n@Action(description="x", id="one")\ndef g(): 0',
    "action_twice": '@Action(description="x")\n@Action(description="y")\ndef f(): pass',
    "class": 'class F: pass\n\nF = Action(description="x")(F)',
    "method": 'class F:\n    @Action(description="x")\n    def f(self): pass',
    "static_method": 'class F:\n    @Action(description="x")\n    @staticmethod\n    def f(): pass',
    "lambda": 'f = Action(description="x")(lambda: 1)',
    "object": 'f = Action(description="x")(print)',
    "inner_function": 'def outer():\n    @Action(description="x")\n    def f(): pass\nouter()',
    "generator": '@Action(description="x")\ndef f():\n    yield 1',
    "positional_only": '@Action(description="x")\ndef f(a, /): pass',
    "varargs": '@Action(description="x")\ndef f(*a): pass',
    "unknown_hint": '@Action(description="x")\ndef f(a: "Missing"): pass',
}

MODULES: dict[str, dict[str, str]] = {
    # With a folder above that has some, since what else is above differs from machine to machine.
    "no_actions": {"actions.py": "x = 1\n", "../above.py": "from ziet import Action\n"},
    "empty_folder": {"notes.txt": "", "../above.py": "from ziet import Action\n"},
    "raises": {"actions.py": "from ziet import Action\nraise ValueError('on purpose')\n"},
    "raises_escapes": {"actions.py": "from ziet import Action\nraise ValueError('\\x1b[2J')\n"},
    "exits": {"actions.py": "from ziet import Action\nraise SystemExit(3)\n"},
    "missing_module": {"actions.py": "from ziet import Action\nimport no_such_module\n"},
    "syntax_when_executed": {
        "actions.py": "from ziet import Action\n\n@Action(description='x')\ndef f():\n    import half\n",
        "half.py": "def half(:\n    pass\n",
    },
    "syntax": {"actions.py": "from ziet import Action\ndef f(:\n    pass\n"},
    "missing_in_settings": {"ziet.toml": 'modules = ["nowhere"]\n'},
    "unknown_setting": {"ziet.toml": 'modlues = ["actions"]\n'},
    "broken_settings": {"ziet.toml": "modules = [\n"},
}

NOT_IN_LOCAL_RUNS = {
    "import_failed": "told by test_pool.py",
    "scratch_full": "told by test_pool.py",
    "store_unavailable": "the store is in memory",
    "cancelled": "told by test_an_interrupt_tells_of_every_run",
    "invalid_input": "told by test_wrong_input",
    **dict.fromkeys(
        [
            "storage_full",
            "too_many_runs",
            "run_not_found",
            "run_finished",
            "not_created",
            "memory_not_found",
            "idempotency_mismatch",
            "draining",
        ],
        "told by a server, to whom asks it for something",
    ),
}

NEW = pytest.mark.skipif(sys.version_info < (3, 11), reason="ExceptionGroup is new in Python 3.11")


def check(folder: str, name: str, project: Project, *arguments: str) -> None:
    assert shown(project, project(*arguments), *arguments) == external_file(file_of(folder, name))


@pytest.fixture
def failures(ziet: Ziet) -> Project:
    return ziet.project("failures")


def test_every_code_is_shown() -> None:
    source = (REPOSITORY / "crates/ziet-core/src/error.rs").read_text("utf-8")
    variants = re.findall(
        r"^    (\w+),$", source.partition("pub enum ErrorCode {")[2].partition("\n}")[0], re.MULTILINE
    )
    codes = {re.sub(r"(?<=[a-z])(?=[A-Z])", "_", variant).lower() for variant in variants}
    assert codes == {*ACTIONS, *NOT_IN_LOCAL_RUNS}


@pytest.mark.parametrize(
    ("code", "action"),
    [
        pytest.param(code, action, marks=[NEW] if action in ("raises_group", "raises_in_tasks") else [], id=action)
        for code, actions in ACTIONS.items()
        for action in actions.split()
    ],
)
def test_failure(failures: Project, code: str, action: str) -> None:
    arguments = ("run", "--local", "action", action, "--no-backoff")
    done = failures(*arguments)
    if code == "timed_out" and not done.said("  File "):
        # On a machine with much else to do a stack may take longer than it is waited for.
        done = failures(*arguments)
    text = shown(failures, done, *arguments)
    if code == "call_depth":
        # Fifty runs say the same.
        text = "".join(dict.fromkeys(text.splitlines(keepends=True)))
    assert text == external_file(file_of(f"failures/{code}", action))


@pytest.mark.parametrize(("code", "action"), [(code, actions.split()[0]) for code, actions in ACTIONS.items()])
def test_the_document_has_the_code_and_ascii_means_ascii(failures: Project, code: str, action: str) -> None:
    done = failures.run(action, "--json", "--ascii", "--no-backoff")
    # The code is that of the run that was refused, fifty below; those above failed with its exception.
    assert done.document["error"]["code"] == ("exception" if code == "call_depth" else code)
    assert done.err.isascii()


@pytest.mark.parametrize("options", [("--locals",), ("--locals", "--ascii")], ids=["locals", "ascii"])
def test_local_variables(failures: Project, options: tuple[str, ...]) -> None:
    name = "_".join(options).replace("--", "")
    check("locals", name, failures, "run", "--local", "action", "raises_with_locals", *options)


@pytest.mark.parametrize("name", INPUTS)
def test_wrong_input(failures: Project, name: str) -> None:
    check("inputs", name, failures, "run", "--local", "action", *INPUTS[name])


@pytest.mark.parametrize("name", COMMANDS)
def test_wrong_command_line(failures: Project, name: str) -> None:
    check("commands", name, failures, *COMMANDS[name])


@pytest.mark.parametrize("name", DEFINITIONS)
def test_wrong_definition(ziet: Ziet, name: str) -> None:
    project = ziet.write({"actions.py": f"from ziet import Action\n\n{DEFINITIONS[name]}\n"})
    check("definitions", name, project, "run", "--local", "action", "f")


@pytest.mark.parametrize("name", MODULES)
def test_wrong_module(ziet: Ziet, name: str) -> None:
    check("modules", name, ziet.write(MODULES[name]), "run", "--local", "action", "f")


def test_an_interrupt_tells_of_every_run(failures: Project) -> None:
    arguments = ("run", "--local", "action", "waits_for_child")
    running = failures.start(*arguments)
    running.until("staying")
    running.process.send_signal(2)

    text = shown(failures, running.finish(), *arguments)

    assert text == external_file(file_of("failures/cancelled", "interrupted"))


@pytest.mark.parametrize("action", ["raises_deep", "raises_far", "raises_long_chain", "raises_much", "raises_lines"])
def test_what_is_left_out_is_told_in_ascii(failures: Project, action: str) -> None:
    whole, ascii_only = failures.run(action), failures.run(action, "--ascii")
    assert whole.out.partition(LAST)[0].count("…") == ascii_only.out.partition(LAST)[0].count("...") - 2
    assert ascii_only.out.isascii()
