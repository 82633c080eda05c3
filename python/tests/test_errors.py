"""The errors of child runs as their callers get them."""

import copy
import pickle
import subprocess
import sys
import traceback
import types
import urllib.error
from typing import Any

import pytest

from ziet import ActionError, InputError, MemoryValueError, OutputError, ZietError
from ziet._errors import rebuild, refusal_code, type_name

executed = []


class Plain(Exception):
    pass


class Greedy(Exception):
    """Everything that a class can do to get in the way of being made from nothing."""

    __slots__ = ("code",)

    def __new__(cls, code, text):
        executed.append("new")
        return super().__new__(cls, code, text)

    def __init__(self, code, text):
        executed.append("init")
        self.code = code

    def __init_subclass__(cls, /, wanted):
        executed.append("init_subclass")

    def __str__(self):
        executed.append("str")
        return f"{self.code}"

    __repr__ = __str__

    def __setattr__(self, name, value):
        raise RuntimeError("frozen")

    @property
    def message(self):
        raise RuntimeError("a property")

    class Inner(Plain):
        pass


class Meta(type):
    def __new__(mcs, name, bases, namespace):
        if "made" in mcs.__dict__:
            raise TypeError("final")
        mcs.made = True
        return super().__new__(mcs, name, bases, namespace)


class Final(Exception, metaclass=Meta):
    pass


class ChildFailed(ActionError):
    def __str__(self):
        executed.append("str")
        return "own text"


def failure(
    type: str,
    message: str = "boom",
    traceback: str | None = "Traceback: …",
    code: str | None = "exception",
    retryable: bool = True,
) -> Any:
    return types.SimpleNamespace(type=type, message=message, traceback=traceback, code=code, retryable=retryable)


@pytest.fixture(autouse=True)
def loaded(monkeypatch):
    """This module under a name of its own: pytest need not have it in sys.modules."""
    executed.clear()
    module = types.ModuleType("shop.errors")
    for kind in (Plain, Greedy, Final, ChildFailed):
        monkeypatch.setattr(kind, "__module__", "shop.errors")
        setattr(module, kind.__name__, kind)
    monkeypatch.setattr(Greedy.Inner, "__module__", "shop.errors")
    monkeypatch.setitem(sys.modules, "shop.errors", module)


@pytest.mark.parametrize(
    ("name", "original"),
    [
        ("ValueError", ValueError),
        ("TimeoutError", TimeoutError),
        ("KeyError", KeyError),
        ("OSError", OSError),
        ("UnicodeDecodeError", UnicodeDecodeError),
        ("StopIteration", StopIteration),
        ("ImportError", ImportError),
        ("MemoryError", MemoryError),
        ("shop.errors.Plain", Plain),
        ("shop.errors.Greedy", Greedy),
        ("shop.errors.Greedy.Inner", Greedy.Inner),
        ("shop.errors.ChildFailed", ChildFailed),
        ("subprocess.CalledProcessError", subprocess.CalledProcessError),
        ("urllib.error.HTTPError", urllib.error.HTTPError),
        ("ziet.InputError", InputError),
        ("ziet.OutputError", OutputError),
        ("ziet.MemoryValueError", MemoryValueError),
    ],
)
def test_the_error_is_of_the_original_class(name, original):
    error = rebuild(failure(name), "shop.pay", "run-7")
    assert isinstance(error, original)
    assert isinstance(error, ActionError)
    assert isinstance(error, ZietError)
    kind = type(error)
    assert (kind.__name__, kind.__qualname__, kind.__module__) == (
        original.__name__,
        original.__qualname__,
        original.__module__,
    )
    assert str(error) == "boom"
    assert repr(error) == f"{original.__name__}('boom')"
    assert type_name(type(error)) == type_name(original) == name
    assert executed == []


def test_it_is_caught_and_printed_like_the_original():
    with pytest.raises(ValueError, match="boom") as caught:
        raise rebuild(failure("ValueError", traceback="Traceback (child)\n  line 3"), "shop.pay", "run-7")
    text = "".join(traceback.format_exception(caught.value))
    assert text.rstrip().endswith("ValueError: boom")
    assert "Traceback (child)\n  line 3" in text
    assert "Traceback (child)\n  line 3" in str(caught.value.__cause__)


def test_what_was_recorded_is_kept():
    error = rebuild(failure("shop.errors.Greedy", retryable=False), "shop.pay", "run-7")
    recorded = (error.type, error.message, error.traceback, error.code, error.action_id, error.run_id, error.retryable)
    assert recorded == ("shop.errors.Greedy", "boom", "Traceback: …", "exception", "shop.pay", "run-7", False)


@pytest.mark.parametrize(
    "name",
    [
        "NoSuchError",
        "SIGSEGV",
        "SystemExit",
        "KeyboardInterrupt",
        "int",
        "len",
        "no.such.module.Error",
        "shop.errors.Missing",
        "shop.errors.executed",
        "shop.errors.Final",
        "ExceptionGroup",
        "module.<locals>.Error",
        "",
        ".",
    ],
)
def test_any_other_is_a_plain_action_error(name):
    error = rebuild(failure(name), "shop.pay", "run-7")
    assert type(error) is ActionError
    assert str(error) == f"{name}: boom"
    assert (error.type, error.message) == (name, "boom")


def test_the_error_of_a_grandchild_stays_what_it_was():
    known = rebuild(failure("ValueError"), "shop.grandchild", "run-8")
    again = rebuild(failure(type_name(type(known)), str(known)), "shop.child", "run-7")
    assert isinstance(again, ValueError)
    assert str(again) == "boom"

    unknown = rebuild(failure("elsewhere.Error"), "shop.grandchild", "run-8")
    again = rebuild(failure(type_name(type(unknown)), str(unknown)), "shop.child", "run-7")
    assert type(again) is ActionError
    assert str(again) == "elsewhere.Error: boom"


def test_a_failure_without_traceback_has_no_cause():
    error = rebuild(failure("ValueError", traceback=None, code=None), "shop.pay", "run-7")
    assert error.__cause__ is None
    assert (error.traceback, error.code) == ("", "")


def test_attributes_of_the_original_are_missed_with_a_reason():
    error = rebuild(failure("urllib.error.HTTPError"), "shop.pay", "run-7")
    with pytest.raises(AttributeError, match="HTTPError of a child run has no attribute 'hdrs': only the text"):
        error.hdrs  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]
    assert getattr(error, "__notes__", None) is None


@pytest.mark.parametrize("name", ["ValueError", "shop.errors.Greedy", "elsewhere.Error"])
def test_it_survives_pickle_and_copy(name):
    error = rebuild(failure(name), "shop.pay", "run-7")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is type(error)
        assert (str(again), again.type, again.run_id) == (str(error), name, "run-7")


def test_nothing_is_imported_to_find_a_class(monkeypatch):
    monkeypatch.delitem(sys.modules, "wave", raising=False)
    assert type(rebuild(failure("wave.Error"), "shop.pay", "run-7")) is ActionError
    assert "wave" not in sys.modules


def test_a_module_is_not_asked_to_make_a_class(monkeypatch):
    module = types.ModuleType("lazy")
    module.__getattr__ = lambda name: executed.append(name) or Plain
    monkeypatch.setitem(sys.modules, "lazy", module)
    assert type(rebuild(failure("lazy.Error"), "shop.pay", "run-7")) is ActionError
    assert executed == []


@pytest.mark.parametrize("kind", [InputError, OutputError, MemoryValueError])
def test_errors_that_cannot_get_better_are_not_retried(kind):
    assert kind("text").retryable is False


def test_an_input_error_keeps_its_problems():
    error = InputError("text", [("amount", "missing")])
    assert pickle.loads(pickle.dumps(error)).problems == (("amount", "missing"),)
    assert isinstance(MemoryValueError(), ValueError)


@pytest.mark.parametrize("code", ["unknown_action", "call_depth", "store_unavailable", "invalid_memory", "memory_full"])
def test_a_refusal_of_the_platform_keeps_its_code(code: str) -> None:
    error = MemoryValueError("refused") if "memory" in code else ActionError("refused")
    error.code = code

    assert refusal_code(error) == code


def test_other_errors_have_no_code_of_the_platform() -> None:
    made_up = ActionError("by the user")
    made_up.code = "made_up"
    of_a_child = rebuild(failure("ziet.MemoryValueError", "full", code="memory_full"), "child", "run")

    assert [refusal_code(error) for error in (ValueError("no"), ActionError("raised"), made_up, of_a_child)] == [
        None
    ] * 4
