"""Actions that call actions: each call is a run of its own."""

from __future__ import annotations

import pytest

from program import Project, Ziet, seconds


@pytest.fixture
def tree(ziet: Ziet) -> Project:
    return ziet.project("tree")


def outcomes(run: dict[str, list[dict[str, str]]]) -> list[str]:
    return [attempt["outcome"] for attempt in run["attempts"]]


def test_a_child_has_a_process_of_its_own(tree: Project) -> None:
    own, child, local = tree.run("processes", "--json").document["output"]

    assert own == local != child


def test_a_child_retries_on_its_own(tree: Project, ziet: Ziet) -> None:
    done = tree.run("calls_flaky", "--json", "--no-backoff")

    run = done.document
    assert (done.status, run["output"]) == (0, "got at last")
    assert outcomes(run) == ["completed"]
    assert (ziet.scratch / "tried-calls_flaky").read_text() == "x"
    assert done.said("Retrying") == [
        "[WARN] Retrying in 0s (attempt 2 of 4)",
        "[WARN] Retrying in 0s (attempt 3 of 4)",
    ]
    assert [key for key in run["memory"] if key.startswith("try_")] == ["try_1", "try_2", "try_3"]
    assert run["memory"]["tree.flaky.error"]["message"] == "try 2"


def test_waiting_for_a_child_takes_none_of_the_parents_time(tree: Project) -> None:
    run = tree.run("waits_long", "--json").document

    assert (run["status"], run["output"]) == ("completed", 2)
    assert 2 <= seconds(run) < 4


def test_after_waiting_the_parents_time_goes_on(tree: Project) -> None:
    run = tree.run("waits_then_spins", "--json").document

    assert outcomes(run) == ["timed_out"]
    assert run["error"]["message"] == "exceeded its timeout of 1 s"
    assert 2.4 < seconds(run) < 4


def test_a_child_has_its_own_timeout(tree: Project) -> None:
    run = tree.run("catches_timeout", "--json").document

    assert run["output"] == "TimeoutError: exceeded its timeout of 1 s"


@pytest.mark.parametrize(
    ("kind", "caught"),
    [
        ("value", {"caught": "its own type", "text": "wrong value", "type": "ValueError", "code": "exception"}),
        ("own", {"caught": "its own type", "text": "3 of pens left", "type": "tree.StockError", "code": "exception"}),
        (
            "exit",
            {
                "caught": "an action's error",
                "text": "ProcessDied: the process died: exit status 3",
                "type": "ProcessDied",
                "code": "crashed",
            },
        ),
    ],
)
def test_a_childs_error_is_raised_in_the_parent_as_its_own_type(
    tree: Project, kind: str, caught: dict[str, str]
) -> None:
    run = tree.run("catches", "-p", f"kind={kind}", "--json").document

    assert run["output"] == caught | {"action": "tree.raises"}


def test_an_error_that_nobody_catches_fails_the_parent_too(tree: Project) -> None:
    done = tree.run("lets_through", "--json")

    run = done.document
    assert (done.status, run["error"]["type"], run["error"]["message"]) == (1, "ValueError", "wrong value")
    assert done.said("[ERROR]") == [
        "[ERROR] Action tree.raises failed: ValueError: wrong value",
        "[ERROR] Action lets_through failed: ValueError: wrong value",
    ]
    assert set(run["memory"]) == {"tree.raises.error", "tree.lets_through.error"}
    assert 'raise ValueError("wrong value")' in run["error"]["traceback"]
    assert 'raises("value")' in run["error"]["traceback"]


def test_a_result_is_rebuilt_by_the_return_annotation(tree: Project) -> None:
    assert tree.run("gets_a_point", "--json").document["output"] == "4, 5"


def test_what_cannot_travel_names_local(tree: Project) -> None:
    assert tree.run("passes_a_lock", "--json").document["output"] == (
        "takes_anything() runs in another process and its argument 'value' cannot travel there as JSON: "
        "value is a lock: use a dict or a dataclass instead; takes_anything.local() calls the function in this process"
    )
    assert tree.run("calls_the_function", "--json").document["output"] is True


def test_a_wrong_call_starts_no_run(tree: Project) -> None:
    done = tree.run("calls_wrongly", "--json")

    assert done.document["output"] == "move() missing 1 required argument: 'point'"
    assert done.said("tree.move") == []


def test_a_wrong_value_is_an_input_error_of_the_child(tree: Project) -> None:
    run = tree.run("calls_with_a_wrong_value", "--json").document

    assert run["output"] == 'InputError: wrong input for tree.move: point.x: expected int, got "one" (str)'
    assert run["memory"] == {}


def test_async_children_run_at_once(tree: Project) -> None:
    run = tree.run("gathers", "-p", "count=4", "-p", "seconds=1", "--json").document

    assert run["output"] == ["nap 0", "nap 1", "nap 2", "nap 3"]
    assert 1 <= seconds(run) < 3


def test_children_called_from_threads_run_at_once(tree: Project) -> None:
    assert tree.run("calls_from_threads", "--json").document["output"] == [0.3] * 4


def test_20_children_do_not_wait_for_each_other(tree: Project) -> None:
    run = tree.run("gathers", "-p", "count=20", "-p", "seconds=0.05", "--json").document

    assert run["output"] == [f"nap {number}" for number in range(20)]


def test_waiting_parents_leave_room_for_their_children(tree: Project) -> None:
    assert tree.run("gathers_nested", "--json").document["output"] == 20


def test_an_async_childs_error_is_raised_where_it_is_awaited(tree: Project) -> None:
    assert tree.run("catches_async", "--json").document["output"] == "LookupError: not there"


def test_an_async_action_is_timed_out(tree: Project) -> None:
    run = tree.run("waits_for_ever", "--json").document

    assert outcomes(run) == ["timed_out"]


def test_the_stack_of_an_async_action_shows_where_it_waits(tree: Project) -> None:
    run = tree.run("waits_for_ever", "--json").document

    assert "await asyncio.sleep(LONG)" in run["error"]["traceback"]


def test_calls_have_a_limit_of_depth(tree: Project) -> None:
    done = tree.run("deeper", "--json")

    run = done.document
    assert (done.status, run["status"], run["memory"]["depth"]) == (1, "failed", 50)
    assert run["error"]["message"] == "51 actions have called each other, limit 50"
    assert run["error"]["type"] == "ziet.ActionError"


def test_a_child_is_cancelled_when_its_parent_dies(tree: Project) -> None:
    done = tree.run("dies_while_waiting", "--json", "--no-backoff")

    run = done.document
    assert (done.status, outcomes(run)) == (0, ["crashed", "completed"])
    assert run["attempts"][0]["error"]["message"] == "the process died: exit status 5"
    assert done.said("child_that_stays")[1:] == ["[WARN] Action tree.child_that_stays cancelled by parent"]
    assert seconds(run) < 10


def test_a_child_that_nobody_waits_for_ends_with_its_parent(tree: Project) -> None:
    done = tree.run("gives_up", "--json")

    assert (done.status, done.document["output"]) == (0, "gave up")
    assert seconds(done.document) < 10


def test_a_tree_shares_one_memory(tree: Project) -> None:
    run = tree.run("shares", "--json").document

    assert run["output"] == ["child", "parent"]
    assert run["memory"] == {"who": "child"}
