"""The local variables in a failure: short, safe to make, and without secrets."""

import collections
import dataclasses
import enum
import os
import time
import types
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from ziet import _locals, _stack


@pytest.fixture(autouse=True)
def project(monkeypatch):
    monkeypatch.setattr(_stack, "root", str(Path(__file__).parent))


def locals_of(names: dict[str, Any]) -> dict[str, str]:
    """The variables as the failure of a function that has them shows them."""
    assignments = "".join(f"    {name} = given[{name!r}]\n" for name in names)
    source = f"def function(given):\n{assignments}    del given\n    raise ValueError\n"
    module: dict[str, Any] = {}
    exec(compile(source, str(Path(__file__).parent / "made.py"), "exec"), module)
    try:
        module["function"](names)
    except ValueError as error:
        frame = _stack.describe(error, "exception", with_locals=True).frames[-1]
        return {local.name: local.value for local in frame.locals}
    raise AssertionError


def shown(value: Any) -> str:
    return locals_of({"value": value})["value"]


@dataclasses.dataclass
class Order:
    number: int
    rows: list[int]
    token: str = "t0p"
    internal: int = dataclasses.field(default=1, repr=False)


class Point(NamedTuple):
    x: int
    y: list[int]


class Item(msgspec.Struct):
    name: str
    api_key: str


class Colour(enum.Enum):
    RED = 1


class Plain:
    pass


class Masked(dict[str, str]):
    def __repr__(self):
        return "<masked>"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((value, repr(value)) for value in (None, True, 7, 1.5, "x", b"x", [1, "a"], (1,), (), {1}, {}, set(), [])),
        ({"a": {"b": [None]}}, "{'a': {'b': [None]}}"),
        ([[[[[1]]]]], "[[[...]]]"),
        (frozenset({1}), "frozenset({1})"),
        (collections.deque([1]), "deque([1])"),
        (collections.OrderedDict(a=1), "OrderedDict({'a': 1})"),
        (collections.defaultdict(list, a=1), "defaultdict({'a': 1})"),
        (types.SimpleNamespace(a=1, password="p"), "SimpleNamespace(a=1, password=…hidden…)"),
        (Order(1, [2]), "Order(number=1, rows=[2], token=…hidden…)"),
        (Point(1, [2]), "Point(x=1, y=[2])"),
        (Item("a", "k"), "Item(name='a', api_key=…hidden…)"),
        (Colour.RED, "<Colour.RED: 1>"),
        (ValueError("no", 1), "ValueError('no', 1)"),
        (Plain(), "<Plain object>"),
        (Masked(a="secret"), "<masked>"),
        (Path("/x"), "PosixPath('/x')"),
        (10**5000, "<int of 16610 bits>"),
        ("\udc80", "'\\udc80'"),
    ],
    ids=lambda given: type(given).__name__,
)
def test_a_value_is_shown_in_short(value, text):
    assert shown(value) == text


@pytest.mark.parametrize(
    "make",
    [
        lambda: "x" * 10**8,
        lambda: [0] * 10**7,
        lambda: dict.fromkeys(range(10**6)),
        lambda: Order(1, [0] * 10**7),
        lambda: [[0] * 10**7],
        lambda: collections.deque([0] * 10**6),
        lambda: ValueError("x" * 10**8),
    ],
    ids=["text", "list", "dict", "in a dataclass", "in a list", "deque", "error"],
)
def test_a_huge_value_costs_nothing(make):
    value = make()
    began = time.process_time()
    text = shown(value)
    assert time.process_time() - began < 0.5
    assert len(text) == 100
    assert text.endswith("...")


def test_what_is_in_a_table_is_not_shown():
    numpy = pytest.importorskip("numpy")
    assert shown(numpy.zeros((3, 4))) == "<ndarray of shape (3, 4)>"


def test_a_repr_that_raises_or_hangs_costs_only_itself(monkeypatch):
    monkeypatch.setattr(_locals, "_SECONDS", 0.1)

    class Raises:
        def __repr__(self):
            raise SystemExit

    class Hangs:
        def __repr__(self):
            released.wait()
            return ""

    import threading

    released = threading.Event()
    try:
        assert locals_of({"first": 1, "raises": Raises(), "hangs": Hangs()}) == {
            "first": "1",
            "raises": "<its repr raised SystemExit>",
            "hangs": "<its repr takes too long>",
        }
    finally:
        released.set()


SECRETS = [
    "password",
    "db_passwd",
    "client_secret",
    "SECRET",
    "token",
    "access_token",
    "authorization",
    "api_key",
    "apikey",
    "openai_api_key",
    "private_key",
    "stripeKey",
    "credentials",
    "passphrase",
]


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_are_hidden(name):
    assert locals_of({name: "hunter2"}) == {name: "…hidden…"}
    assert "hunter2" not in shown({name: "hunter2", "X-" + name: "hunter2"})


@pytest.mark.parametrize("name", ["key", "keyboard", "monkey", "max_tokens", "author", "keys", "value"])
def test_what_only_sounds_like_a_secret_is_shown(name):
    assert locals_of({name: 7}) == {name: "7"}


def test_a_secret_that_is_missing_is_told():
    assert locals_of({"token": None}) == {"token": "None"}


def test_the_environment_hides_its_secrets(monkeypatch):
    for name in list(os.environ):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    assert shown(os.environ) == "_Environ({'AWS_SECRET_ACCESS_KEY': …hidden…})"


def test_modules_functions_and_classes_are_left_out():
    names = {"m": os, "f": shown, "b": len, "c": Plain, "method": "x".join, "__dunder": 1, "x": 2}
    assert list(locals_of(names)) == ["x"]


def test_there_are_not_too_many():
    assert len(locals_of({f"v{number}": number for number in range(1000)})) == 20
    assert list(locals_of({"n" * 500: 1})) == ["n" * 100]


def test_they_are_there_only_when_asked_for_and_only_in_the_project(monkeypatch):
    def fail():
        value = 1
        raise ValueError(value)

    with pytest.raises(ValueError) as caught:  # noqa: PT011
        fail()
    assert not any(frame.locals for frame in _stack.describe(caught.value, "exception").frames)
    assert _stack.describe(caught.value, "exception", with_locals=True).frames[-1].locals
    monkeypatch.setattr(_stack, "root", "/elsewhere")
    assert not any(frame.locals for frame in _stack.describe(caught.value, "exception", with_locals=True).frames)


def test_the_innermost_frames_have_them():
    def fail(left: int):
        numbers = [left]
        if left == 0:
            raise ValueError
        exec(
            compile("again(left - 1)", f"{Path(__file__).parent}/made{left}.py", "exec"), {"again": fail, "left": left}
        )
        return numbers

    with pytest.raises(ValueError) as caught:  # noqa: PT011
        fail(50)
    frames = _stack.describe(caught.value, "exception", with_locals=True).frames
    with_locals = [index for index, frame in enumerate(frames) if frame.locals]
    assert with_locals == list(range(len(frames) - len(with_locals), len(frames)))
    assert len(with_locals) == 30
