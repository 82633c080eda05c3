"""What can be typed, and what it means."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from program import PROGRAM, Ziet

TAKEN = {
    "number": 1,
    "text": "t",
    "ratio": 0.5,
    "flag": True,
    "numbers": [1, 2],
    "table": {"a": 1},
    "item": {"name": "pen", "price": 2},
}
RETURNED = TAKEN | {"item": ["pen", 2.0, 1], "note": None}


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--local", "action", "echo"],
        ["run", "action", "--local", "echo"],
        ["run", "action", "echo", "--local"],
        ["--local", "run", "action", "echo"],
    ],
)
def test_local_may_stand_anywhere(ziet: Ziet, arguments: list[str]) -> None:
    done = ziet.project("lines")(*arguments)

    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("🧪 Running action locally: echo\n")


def test_without_local_there_is_no_server(ziet: Ziet) -> None:
    done = ziet.project("lines")("run", "action", "echo")

    assert (done.status, done.out) == (2, "")
    assert done.err == (
        "error: there is no server to run it on\n"
        "hint: run it on this machine with `ziet run --local action echo`, or name a server: `ziet login URL`\n"
    )


@pytest.mark.parametrize("word", [b"\xff", b"--\xff", b"run\xff"])
def test_a_word_that_is_no_text_is_wrong_usage(ziet: Ziet, word: bytes) -> None:
    """A shell completes names of files that have bytes of another encoding."""
    for arguments in ([word], [b"run", b"--local", b"action", b"echo", word], [b"--project", word, b"actions"]):
        done = subprocess.run([PROGRAM, *arguments], env=ziet.environment, capture_output=True, check=False)
        assert (done.returncode, done.stdout) == (2, b"")
        assert done.stderr.startswith(b"error: ")


def test_a_memory_is_for_a_server(ziet: Ziet) -> None:
    done = ziet.project("lines").run("echo", "--memory", "m")

    assert (done.status, done.out) == (2, "")
    assert done.err == "error: --memory is for a server: a local run has a memory of its own\n"


@pytest.mark.parametrize(
    "arguments", [[], ["run"], ["run", "--local", "action"], ["walk"], ["run", "--local", "action", "echo", "--x"]]
)
def test_wrong_usage_is_told_on_standard_error(ziet: Ziet, arguments: list[str]) -> None:
    done = ziet.project("lines")(*arguments)

    assert (done.status, done.out) == (2, "")
    assert "Usage: ziet" in done.err


def test_help_and_version(ziet: Ziet) -> None:
    lines = ziet.project("lines")
    helped = lines("run", "action", "--help")

    assert (helped.status, helped.err) == (0, "")
    for option in ("--local", "--input", "--param", "--json", "--no-backoff", "--ascii", "--memory"):
        assert option in helped.out
    assert lines("--help").out.count("Usage: ziet") == 1
    assert lines("--version").out.startswith("ziet ")


@pytest.mark.parametrize("name", ["lines.echo", "echo"])
def test_an_action_is_named_by_its_id_or_its_function(ziet: Ziet, name: str) -> None:
    done = ziet.project("lines").run(name, "--json")

    assert done.document["action_id"] == "lines.echo"
    assert f"[INFO] Action {name} initialized" in done.lines


def test_an_id_goes_before_functions_of_that_name(ziet: Ziet) -> None:
    same = "from ziet import Action\n@Action({id}description='d')\ndef send():\n    return {value!r}\n"
    project = ziet.write(
        {
            "a.py": same.format(id="id='first', ", value="a"),
            "b.py": same.format(id="", value="b"),
            "c.py": same.format(id="id='send', ", value="c").replace("def send", "def sends"),
            "d/e.py": same.format(id="id='other', ", value="e"),
        }
    )

    assert project.run("send", "--json").document["output"] == "c"
    assert project.run("a.send", "--json").document["output"] == "a"
    assert project.run("b.send", "--json").document["output"] == "b"
    assert project.run("d.e.send", "--json").document["output"] == "e"


def test_an_ambiguous_name_names_its_candidates(ziet: Ziet) -> None:
    send = "from ziet import Action\n@Action(description='d')\ndef send(): ...\n"
    done = ziet.write({"a.py": send, "b.py": send}).run("send")

    assert (done.status, done.out) == (2, "")
    assert done.err == ("error: `send` fits several actions: `a.send`, `b.send`\nhint: give the id of one of them\n")


def test_an_unknown_name_gives_the_nearest(ziet: Ziet) -> None:
    page = ziet.project("page")

    near, far = page.run("calculate_taxes"), page.run("xyz")

    assert (near.status, near.out) == (2, "")
    assert near.err.startswith("error: no action `calculate_taxes`\nhint: the nearest names: `calculate_tax`")
    assert (far.status, far.err) == (2, "error: no action `xyz`\nhint: `ziet actions` lists those there are\n")


def test_the_nearest_name_is_found_although_ids_begin_with_their_module(ziet: Ziet) -> None:
    done = ziet.project("lines").run("ehco")

    assert "`lines.echo`" in done.err


def test_parameters_are_json_unless_the_hint_is_str(ziet: Ziet) -> None:
    done = ziet.project("lines").run(
        "takes",
        *["-p", "number=1", "-p", "text=t", "-p", "ratio=0.5", "-p", "flag=true", "-p", "numbers=[1, 2]"],
        *["-p", 'table={"a": 1}', "--param", 'item={"name": "pen", "price": 2}', "--json"],
    )

    assert done.document["input"] == TAKEN
    assert done.document["output"] == RETURNED


@pytest.mark.parametrize(
    ("given", "text"),
    [("123", "123"), ("true", "true"), ('"quoted"', '"quoted"'), ("a=b", "a=b"), ("", ""), ("é", "é")],
)
def test_a_text_is_taken_as_it_stands(ziet: Ziet, given: str, text: str) -> None:
    done = ziet.project("lines").run("takes", "--input", json.dumps(TAKEN), "-p", f"text={given}", "--json")

    assert done.document["output"]["text"] == text


@pytest.mark.parametrize(("given", "note"), [("null", None), ("n", "n"), ("1", "1")])
def test_an_optional_text_is_taken_as_it_stands_but_for_null(ziet: Ziet, given: str, note: str | None) -> None:
    done = ziet.project("lines").run("takes", "--input", json.dumps(TAKEN), "-p", f"note={given}", "--json")

    assert done.document["output"]["note"] == note


def test_parameters_override_the_input(ziet: Ziet) -> None:
    done = ziet.project("lines").run(
        "takes", "--input", json.dumps(TAKEN), "-p", "number=2", "-p", "number=3", "--json"
    )

    assert done.document["output"] == RETURNED | {"number": 3}


def test_input_comes_from_the_command_line_a_file_or_standard_input(ziet: Ziet) -> None:
    lines = ziet.project("lines")
    file = ziet.scratch / "input.json"
    file.write_text(json.dumps(TAKEN))

    given = lines.run("takes", "--input", json.dumps(TAKEN), "--json")
    from_file = lines.run("takes", "--input", f"@{file}", "--json")
    piped = lines.run("takes", "--input", "-", "--json", stdin=json.dumps(TAKEN))

    assert [each.document["output"] for each in (given, from_file, piped)] == [RETURNED] * 3


def test_unknown_parameters_go_where_they_are_taken(ziet: Ziet) -> None:
    done = ziet.project("lines").run("takes_more", "-p", "name=x", "-p", "a=1", "-p", "b=2", "--json")

    assert done.document["output"] == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--input", "{"], "error: --input is not JSON: "),
        (["--input", "[1]"], "error: --input is not a JSON object\n"),
        (["--input", '{"number": NaN}'], "error: --input is not JSON: "),
        (["--input", "@nowhere.json"], "error: --input: "),
        (["-p", "number"], "error: -p number: there is no =\n"),
        (["-p", "=1"], "error: -p =1: there is no name before the =\n"),
        (["--input", json.dumps({"text": "x" * (7 * 1024**2 - 11)})], "error: an input of 7.0 MB, limit 6 MB\n"),
    ],
)
def test_input_that_cannot_be_read_is_wrong_usage(ziet: Ziet, arguments: list[str], error: str) -> None:
    if "xxx" in arguments[-1]:  # Too long for a command line.
        done = ziet.project("lines").run("takes", "--input", "-", stdin=arguments[-1])
    else:
        done = ziet.project("lines").run("takes", *arguments)

    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(error)


def test_test_data_is_told_on_standard_error(ziet: Ziet) -> None:
    lines = ziet.project("lines")

    made, nothing_to_make, given = lines.run("store", "--json"), lines.run("echo"), lines.run("store", "-p", "key=k")

    assert made.err.splitlines()[0] == 'note: test data: key="key_1"'
    assert nothing_to_make.err == ""
    assert given.err == ""


def test_given_input_is_never_completed_with_test_data(ziet: Ziet) -> None:
    done = ziet.project("lines").run("takes", "-p", "number=1")

    assert done.status == 2
    assert done.said("text: missing, expected str")


def test_the_run_document_has_every_field(ziet: Ziet) -> None:
    done = ziet.project("lines").run("store", "-p", "key=k", "-p", "value=[1]", "--json")

    run = done.document
    assert list(run) == [
        *["id", "action_id", "project_id", "deployment_id", "status", "waiting_on", "input", "output", "error"],
        *["memory_id", "parent_id", "root_id", "attempts", "metadata", "run_at", "retry_of", "cancelled"],
        *["created_at", "started_at", "finished_at", "memory"],
    ]
    assert run | {"id": 0, "memory_id": 0, "attempts": 0, "created_at": 0, "started_at": 0, "finished_at": 0} == {
        "id": 0,
        "memory_id": 0,
        "attempts": 0,
        "created_at": 0,
        "started_at": 0,
        "finished_at": 0,
        "action_id": "lines.store",
        "project_id": "lines",
        "root_id": run["id"],
        "status": "completed",
        "input": {"key": "k", "value": [1]},
        "output": None,
        "memory": {"k": [1]},
        **dict.fromkeys(["deployment_id", "waiting_on", "error", "parent_id", "metadata"]),
        **dict.fromkeys(["run_at", "retry_of", "cancelled"]),
    }
    [attempt] = run["attempts"]
    assert list(attempt) == [
        *["number", "outcome", "error", "started_at", "finished_at", "cpu_ms", "peak_memory_bytes", "worker"]
    ]
    assert attempt["number"] == 1
    assert attempt["peak_memory_bytes"] > 1_000_000
    assert run["created_at"] <= run["started_at"] <= attempt["started_at"] <= attempt["finished_at"]
    assert attempt["finished_at"] <= run["finished_at"]


def test_errors_in_the_document_have_every_field(ziet: Ziet) -> None:
    run = ziet.project("lines").run("fails_twice", "--json", "--no-backoff").document

    assert list(run["error"]) == ["type", "message", "traceback", "code", "frames"]
    [frame] = run["error"]["frames"]
    assert list(frame) == ["file", "line", "function", "source", "user"]
    assert (frame["function"], frame["user"]) == ("fails_twice", True)
    assert [attempt["number"] for attempt in run["attempts"]] == [1, 2]


def test_wrong_usage_with_json_leaves_standard_output_empty(ziet: Ziet) -> None:
    done = ziet.project("lines").run("nowhere", "--json")

    assert (done.status, done.out) == (2, "")


def test_a_reader_that_goes_away_does_not_end_the_run(ziet: Ziet) -> None:
    running = ziet.project("lines").start("run", "--local", "action", "fails_twice", "--no-backoff")
    running.until("Running action locally")
    assert running.process.stdout is not None
    running.process.stdout.close()

    assert running.process.wait() == 1


def test_a_long_temporary_folder_is_no_problem(ziet: Ziet) -> None:
    deep = ziet.scratch / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)

    done = ziet.project("lines").run("echo", TMPDIR=str(deep))

    assert (done.status, done.err) == (0, "")
    assert os.listdir(deep) == []
