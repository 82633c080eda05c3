"""What is recorded of an error."""

import builtins
import sys
import time
import types
from pathlib import Path
from typing import Any

import pytest

from ziet import _stack, _wire
from ziet._errors import rebuild


@pytest.fixture(autouse=True)
def project(monkeypatch):
    monkeypatch.setattr(_stack, "root", str(Path(__file__).parent))


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        if cause is not None:
            raise error from cause
        raise error
    except BaseException as caught:
        return caught


def described(error: BaseException) -> _wire.Failure:
    failure = _stack.describe(error, "exception")
    # It can travel.
    assert _wire.encode(_wire.Finished(None, failure, 0, 0))
    return failure


def test_a_plain_error():
    failure = described(raised(ValueError("no")))
    assert (failure.type, failure.message, failure.notes, failure.related, failure.left_out) == (
        *("ValueError", "no"),
        *([], [], 0),
    )
    [frame] = failure.frames
    assert (frame.function, frame.source, frame.user) == ("raised", "raise error", True)
    assert failure.traceback is not None
    assert failure.traceback.endswith("ValueError: no")


def test_the_cause_comes_before_the_context():
    try:
        try:
            raise KeyError("context")
        except KeyError:
            raise ValueError("no") from TypeError("cause")
    except ValueError as error:
        failure = described(error)
    [cause] = failure.related
    assert (cause.relation, cause.type, cause.message, cause.related) == ("cause", "TypeError", "cause", [])


def test_the_context_unless_it_is_suppressed():
    def fail(suppress: bool) -> _wire.Failure:
        try:
            try:
                raise KeyError("id")
            except KeyError:
                if suppress:
                    raise ValueError("no") from None
                raise ValueError("no")  # noqa: B904 - the context is what is tested
        except ValueError as error:
            return described(error)

    [context] = fail(False).related
    assert (context.relation, context.type, context.message) == ("context", "KeyError", "'id'")
    assert fail(True).related == []


def test_the_members_of_a_group_whatever_its_class():
    class OldGroup(Exception):
        exceptions = (raised(ValueError("one"), KeyError("why")), TypeError("two"))

    failure = described(OldGroup("both"))
    assert [(one.relation, one.message) for one in failure.related] == [("member", "one"), ("member", "two")]
    assert failure.related[0].related[0].relation == "cause"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="new in Python 3.11")
def test_a_group_in_a_group():
    group: Any = vars(builtins)["ExceptionGroup"]
    failure = described(group("outer", [group("inner", [ValueError("deep")]), TypeError("flat")]))
    inner, flat = failure.related
    assert (inner.type, [one.message for one in inner.related], flat.message) == ("ExceptionGroup", ["deep"], "flat")


def test_what_there_is_no_room_for_is_counted():
    class Group(Exception):
        exceptions = tuple(ValueError(str(number)) for number in range(1000))

    failure = described(Group())
    assert len(failure.related) + failure.left_out == 1000
    assert [one.message for one in failure.related] == [str(number) for number in range(len(failure.related))]

    error: BaseException = ValueError("first")
    for number in range(3000):
        error = raised(ValueError(number), error)
    one, length = described(error), 0
    while one.related:
        [one] = one.related
        length += 1
    assert 5 <= length <= 50
    assert length + one.left_out == 3000


def test_groups_of_groups_with_long_texts_still_fit():
    def group(depth: int) -> Exception:
        error = ValueError("é" * 100_000)
        error.__notes__ = ["ü" * 100_000] * 100  # pyright: ignore[reportAttributeAccessIssue]
        if depth:
            error.exceptions = [group(depth - 1) for _ in range(4)]  # pyright: ignore[reportAttributeAccessIssue]
        return error

    failure = described(group(4))
    assert failure.notes[-1] == "... 80 more notes"
    assert len(_wire.encode(_wire.Finished(None, failure, 0, 0))) < 4 * 1024 * 1024


def test_a_cycle_ends():
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    [cause] = described(one).related
    assert (cause.message, cause.related, cause.left_out) == ("two", [], 0)


@pytest.mark.parametrize(
    ("notes", "shown"),
    [
        (["one", "two\nlines"], ["one", "two\nlines"]),
        (("one", 2), ["one", "2"]),
        ("text", ["'text'"]),
        (None, []),
        ([], []),
        (["\udc80"], ["\\udc80"]),
    ],
)
def test_notes(notes, shown):
    error = ValueError()
    error.__notes__ = notes  # pyright: ignore[reportAttributeAccessIssue]
    assert described(error).notes == shown


class Evil(Exception):
    """Everything that a class can do to get in the way of being told."""

    def __str__(self):
        raise RuntimeError

    __repr__ = __str__
    __notes__ = property(__str__)
    exceptions = property(__str__)
    retryable = property(__str__)
    __cause__ = property(__str__)  # pyright: ignore[reportAssignmentType]
    __context__ = property(__str__)  # pyright: ignore[reportAssignmentType]
    __traceback__ = property(__str__)  # pyright: ignore[reportAssignmentType]

    def __hash__(self):
        raise RuntimeError

    def __eq__(self, other):
        raise RuntimeError


def test_nothing_is_raised_whatever_the_class_does():
    failure = described(raised(Evil()))
    assert (failure.message, failure.retryable) == ("<Evil.__str__ raised RuntimeError>", True)
    assert failure.notes == ["<__notes__ raised RuntimeError>"]
    assert failure.frames[-1].function == "raised"
    assert described(raised(ValueError("no"), Evil())).related[0].message == failure.message


def test_a_syntax_error_has_its_place():
    with pytest.raises(SyntaxError) as caught:
        compile("x = 1\n  \nif x:\n    y = (1 +\n", "/elsewhere/half.py", "exec")
    frame = described(caught.value).frames[-1]
    assert (frame.file, frame.line, frame.function, frame.user) == ("/elsewhere/half.py", 4, "", False)
    assert frame.source is not None
    assert frame.source.splitlines()[0] == "y = (1 +"
    assert set(frame.source.splitlines()[1]) == {" ", "^"}
    assert frame.source.splitlines()[1].index("^") == 4


@pytest.mark.parametrize(
    "details", [(None, None, None, None), ("f", 1, 7, "text"), ("f", 1, 10**9, "x"), (1, 2, "3", 4), ("f", 1, -5, "")]
)
def test_an_odd_syntax_error_is_told(details):
    assert described(SyntaxError("odd", details)).type == "SyntaxError"


def test_repeated_calls_are_listed_once():
    def ping(left: int) -> None:
        pong(left)

    def pong(left: int) -> None:
        if left == 0:
            raise ValueError
        ping(left - 1)

    with pytest.raises(ValueError) as caught:  # noqa: PT011
        ping(50)
    frames = described(caught.value).frames
    assert [(frame.function, frame.left_out, frame.cycle) for frame in frames] == [
        ("test_repeated_calls_are_listed_once", 0, 0),
        ("ping", 0, 0),
        ("pong", 98, 2),
        ("ping", 0, 0),
        ("pong", 0, 0),
    ]


def test_a_long_stack_is_cut_in_the_middle_and_counted():
    source = "".join(f"def f{number}(): f{number + 1}()\n" for number in range(300))
    names: dict[str, Any] = {"f300": lambda: raised_here()}
    exec(compile(source, str(Path(__file__).parent / "made.py"), "exec"), names)
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        names["f0"]()
    frames = described(caught.value).frames
    assert len(frames) == 100
    [edge] = [frame for frame in frames if frame.left_out]
    assert len(frames) + edge.left_out == 303
    assert edge.cycle == 0
    assert frames[-1].function == "raised_here"


def raised_here() -> None:
    raise ValueError


def child_failure() -> _wire.Failure:
    return described(raised(LookupError("no order"), raised(KeyError("id"))))


def test_the_error_of_a_child_run_is_told_with_the_stack_of_the_child():
    error = raised(rebuild(child_failure(), "shop.load", "run-2"))
    failure = described(error)

    assert failure.type == "LookupError"
    [child] = failure.related
    assert (child.relation, child.type, child.message) == ("child", "LookupError", "no order")
    assert child.frames[-1].function == "raised"
    assert [one.message for one in child.related] == ["'id'"]
    assert failure.traceback is not None
    assert '"""' not in failure.traceback
    assert failure.traceback.count("Traceback (most recent call last)") == 3

    grandparent = described(raised(rebuild(failure, "shop.bill", "run-1")))
    assert [one.relation for one in grandparent.related[0].related] == ["child"]
    assert grandparent.traceback is not None
    assert '"""' not in grandparent.traceback


def test_generations_of_child_runs_stay_bounded():
    failure = child_failure()
    for number in range(60):
        failure = described(raised(rebuild(failure, "shop.load", f"run-{number}")))
    size = len(_wire.encode(_wire.Finished(None, failure, 0, 0)))
    assert size < 1024 * 1024


def test_an_error_of_a_child_that_was_copied_has_lost_its_stack():
    failure: Any = types.SimpleNamespace(type="ValueError", message="no", traceback="t", code="x", retryable=True)
    assert described(raised(rebuild(failure, "a", "r"))).related == []


def test_a_deep_stack_takes_no_time():
    depth = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:

        def fail(left: int) -> None:
            if left == 0:
                raise ValueError
            fail(left - 1)

        with pytest.raises(ValueError) as caught:  # noqa: PT011
            fail(5000)
    finally:
        sys.setrecursionlimit(depth)
    began = time.process_time()
    assert len(_stack._Description().frames(caught.value, 100)) == 3
    assert time.process_time() - began < 3
