"""The local variables in a failure: short, safe to make, and without secrets."""

import collections
import dataclasses
import enum
import os
import threading
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


class Lies:
    @property
    def __class__(self):  # pyright: ignore[reportIncompatibleVariableOverride, reportIncompatibleMethodOverride]
        raise SystemExit


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

    released = threading.Event()
    try:
        assert locals_of({"first": 1, "raises": Raises(), "hangs": Hangs()}) == {
            "first": "1",
            "raises": "<its repr raised SystemExit>",
            "hangs": "<its repr takes too long>",
        }
    finally:
        released.set()


def test_a_class_that_lies_about_itself_costs_only_itself():
    assert locals_of({"lies": Lies(), "x": [Lies(), (Lies(), 1)]}) == {
        "lies": "<Lies object>",
        "x": "[<Lies object>, (<Lies object>, 1)]",
    }


def test_the_failure_is_told_without_them_where_there_is_no_thread_to_be_had(monkeypatch):
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    assert locals_of({"x": 1}) == {}


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
    "pwd",
    "auth",
    "oauth",
    "authorized_by",
    "db_creds",
    "cookie",
    "set_cookie",
    "bearer",
    "session",
    "session_id",
    "dsn",
    "jwt",
    "signature",
    "private",
]


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_are_hidden(name):
    assert locals_of({name: "hunter2"}) == {name: "…hidden…"}
    assert "hunter2" not in shown({name: "hunter2", "X-" + name: "hunter2", name.encode(): b"hunter2"})
    assert shown((name, "hunter2")) == f"({name!r}, …hidden…)"


@pytest.mark.parametrize(
    "name", ["key", "keyboard", "monkey", "max_tokens", "author", "authors", "keys", "value", "credit", "credits"]
)
def test_what_only_sounds_like_a_secret_is_shown(name):
    assert locals_of({name: 7}) == {name: "7"}
    assert shown((name, 7)) == f"({name!r}, 7)"
    assert shown(f"{name}=7") == f"'{name}=7'"


class Client:
    def __init__(self, text: str):
        self.text = text

    def __repr__(self):
        return self.text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("postgres://u:hunter2@h/db", "'postgres://u:…hidden…@h/db'"),
        ("postgres://u:hun/t@er2@h/db", "'postgres://u:…hidden…@h/db'"),
        ("redis://:hunter2@h", "'redis://:…hidden…@h'"),
        (b"amqp://u:hunter2@h", "b'amqp://u:…hidden…@h'"),
        ("amqp://u:" + "hunter2" * 50 + "@h", "'amqp://u:…hidden…@h'"),
        (Client("Client('amqp://u:hunter2@h')"), "Client('amqp://u:…hidden…@h')"),
        (["http://h:80/a", "b@c"], "['http://h:80/a', 'b@c']"),
        ("Bearer hunter2", "'Bearer …hidden…'"),
        ("Authorization: Basic hunter2", "'Authorization: …hidden…'"),
        ({"headers": {"X": "bearer hunter2"}}, "{'headers': {'X': 'bearer …hidden…'}}"),
        ([("Authorization", "Basic hunter2"), ("Accept", "*/*")], "[('Authorization', …hidden…), ('Accept', '*/*')]"),
        ([(b"cookie", b"id=hunter2")], "[(b'cookie', …hidden…)]"),
        ([["password", "hunter2"]], "[['password', …hidden…]]"),
        (("--password", "hunter2"), "('--password', …hidden…)"),
        (["curl", "--token", "hunter2", "-v"], "['curl', '--token', …hidden…, '-v']"),
        (["curl", "--token=hunter2", "-v"], "['curl', '--token=…hidden…', '-v']"),
        (["password", "name", "email"], "['password', 'name', 'email']"),
        (("the password is wrong", 7), "('the password is wrong', 7)"),
        ("https://h/?a=1&api_key=hunter2&b=2", "'https://h/?a=1&api_key=…hidden…&b=2'"),
        ("host=h password=hunter2 port=1", "'host=h password=…hidden… port=1'"),
        ('{"user": "u", "password": "hunter2 two", "n": 1}', """'{"user": "u", "password": …hidden…, "n": 1}'"""),
        (Client("<Client url=u api_key='hunter2'>"), "<Client url=u api_key=…hidden…>"),
        (Client("<Client api_key=None>"), "<Client api_key=None>"),
        (types.SimpleNamespace(token=None), "SimpleNamespace(token=None)"),
        ("password=" + "x" * 200, "'password=…hidden…'"),
    ],
)
def test_secrets_are_known_by_their_form_too(value, text):
    assert shown(value) == text


def test_in_a_set_nothing_is_the_name_of_another():
    value = {"password", "token"}
    assert shown(value) == str(value)


def test_looking_for_secrets_takes_no_time():
    began = time.process_time()
    for text in ("x" * 10**6, "x=" * 10**6, "token" * 10**6, "://" * 10**6, "://:" * 10**6, "password='" * 10**6):
        shown(text)
        shown((text, 1))
        shown({text: 1})
        shown(Client(text))
    assert time.process_time() - began < 1


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
