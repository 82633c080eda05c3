"""Turns a failed conversion into words: which value, what was expected, what came.

msgspec stops at the first mistake and tells it by JSON's type names and a path. Here the path is followed into the
value that came, so that the text can show it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from ziet._encode import short

Decode = Callable[[bytes], Any]

_ANY_KEY = object()
_MOST_KEYS_TRIED = 100

_PLACE = re.compile(r" - at (`key` in )?`\$([^`]*)`$")
_STEP = re.compile(r"\[\.\.\.\]|\[(\d+)\]|\.([^.\[]+)")
_EXPECTED_GOT = re.compile(r"Expected `(.+?)`, got `(.+?)`$")
_EXPECTED = re.compile(r"Expected `(.+?)` (.+)$")
_MISSING = re.compile(r"Object missing required field `(.+?)`$")
_UNKNOWN = re.compile(r"Object contains unknown field `(.+?)`$")

_PYTHON_NAMES = {"array": "list", "object": "dict", "null": "None"}


def wrong_value(parameter: str, expected: str, value: Any, error: Exception, decode: Decode) -> tuple[str, str]:
    """The place, such as `user.age`, and the text of what is wrong with a parameter's value.

    Args:
        parameter: Its name.
        expected: What the whole value should have been.
        value: The JSON value that came.
        error: What the conversion raised.
        decode: The conversion, to find out which of several keys is the wrong one.
    """
    if not isinstance(error, msgspec.ValidationError):
        return parameter, _raised(expected, value, error)
    message = str(error)
    place = _PLACE.search(message)
    if place is None:
        return _nested(parameter, message, value, expected)
    path = _steps(place[2])
    message = message[: place.start()]
    path = _with_keys(value, path, str(error), decode)
    where = parameter + "".join(_step_text(step) for step in path)
    if place[1]:
        return f"{where} (a key)", _text(message, expected=None, shown=None)
    found = _follow(value, path)
    if found is None:
        return where, _text(message, expected=None, shown=None)
    return _nested(where, message, found[0], None)


def unknown_parameter(name: str, known: Sequence[str]) -> str:
    """The text for a parameter that is none of the `known`."""
    import difflib  # Only after a mistake: it is slow to import.

    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"unknown parameter, did you mean {near[0]}?"
    names = ", ".join(known)
    return f"unknown parameter, known are {names}" if names else "unknown parameter, the action has none"


def value_text(value: Any) -> str:
    """A JSON value and its type: `"ten" (str)`, `null`."""
    if value is None:
        return "null"
    return f"{short(value)} ({type(value).__name__})"


def malformed(data: bytes, error: Exception) -> str:
    """The text for input that is not JSON at all."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    reason = _PLACE.sub("", str(error)).removeprefix("JSON is malformed: ")
    if isinstance(error, UnicodeDecodeError):
        reason = f"byte {error.start} is not UTF-8"
    if b"NaN" in data or b"Infinity" in data:
        reason += "; NaN and Infinity are not JSON"
    return f"not valid JSON: {reason[:1].lower()}{reason[1:]}"


def _raised(expected: str, value: Any, error: Exception) -> str:
    """For what the user's own class raised while it was made, or JSON nested too deeply for it."""
    if isinstance(error, RecursionError):
        return f"expected {expected}, got a value nested too deeply"
    return f"expected {expected}, got {value_text(value)}: {type(error).__name__}: {error}"


def _nested(where: str, message: str, value: Any, expected: str | None) -> tuple[str, str]:
    """Fields that are missing or unknown are named like values, since that is where to look."""
    missing = _MISSING.match(message)
    if missing:
        return f"{where}.{missing[1]}", "missing"
    unknown = _UNKNOWN.match(message)
    if unknown:
        return f"{where}.{unknown[1]}", "unknown field"
    return where, _text(message, expected, value_text(value))


def _text(message: str, expected: str | None, shown: str | None) -> str:
    mismatch = _EXPECTED_GOT.match(message)
    if mismatch:
        return f"expected {expected or _python_names(mismatch[1])}, got {shown or mismatch[2]}"
    got = f", got {shown}" if shown else ""
    constraint = _EXPECTED.match(message)
    if constraint:
        return f"expected {_python_names(constraint[1])} {constraint[2]}{got}"
    if message.startswith("Invalid enum value") and expected:
        return f"expected {expected}{got}"
    reason = message[:1].lower() + message[1:]
    return f"expected {expected}{got}: {reason}" if expected else f"{reason}{got}"


def _python_names(types: str) -> str:
    return " | ".join(_PYTHON_NAMES.get(name, name) for name in types.split(" | "))


def _steps(path: str) -> list[Any]:
    """The steps of a path: a name, an index, or `_ANY_KEY` where msgspec does not tell the key of a dict."""
    return [
        int(match[1]) if match[1] is not None else match[2] if match[2] is not None else _ANY_KEY
        for match in _STEP.finditer(path)
    ]


def _step_text(step: Any) -> str:
    if step is _ANY_KEY:
        return "[...]"
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if str(step).isidentifier() else f"[{short(step)}]"


def _follow(value: Any, path: list[Any]) -> tuple[Any] | None:
    """The value at a path, in a tuple of its own since it may be None."""
    try:
        for step in path:
            value = value[step]
    except (LookupError, TypeError):
        return None
    return (value,)


def _with_keys(value: Any, path: list[Any], message: str, decode: Decode) -> list[Any]:
    """The path with the keys that msgspec left out, as far as they can be found."""
    while _ANY_KEY in path:
        position = path.index(_ANY_KEY)
        key = _wrong_key(value, path[:position], message, decode)
        if key is None:
            break
        path = [*path[:position], key, *path[position + 1 :]]
    return path


def _wrong_key(value: Any, path: list[Any], message: str, decode: Decode) -> str | None:
    """The key of the dict at a path with which alone the conversion fails in the same way."""
    found = _follow(value, path)
    members: dict[str, Any] = found[0] if found is not None else {}
    for key in list(members)[:_MOST_KEYS_TRIED]:
        if _failure(decode, _replaced(value, path, {key: members[key]})) == message:
            return key
    return None


def _replaced(value: Any, path: list[Any], new: Any) -> Any:
    """A copy of a JSON value with another value at a path."""
    if not path:
        return new
    copied = value.copy()
    copied[path[0]] = _replaced(value[path[0]], path[1:], new)
    return copied


def _failure(decode: Decode, value: Any) -> str | None:
    try:
        decode(msgspec.json.encode(value))
    except Exception as error:  # noqa: BLE001 - a class of the user may raise anything while it is made
        return str(error)
    return None
