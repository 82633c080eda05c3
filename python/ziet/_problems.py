"""Turns a failed conversion into words: which parts of a value are wrong, what was expected, what came.

No more is searched for than is told, since there may be a million mistakes. msgspec stops at the first one and does not
tell the keys of dicts. So a value that does not fit is gone through along its hint, each part by itself.
"""

from __future__ import annotations

import collections
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, cast

import msgspec

from ziet import _fields
from ziet._adapted import adapted, is_pydantic
from ziet._encode import short, step_text
from ziet._stand_ins import decoder
from ziet._type_text import bare, expected_text, union_members

Problem = tuple[str, str]
"""The place, such as `user.age`, and what is wrong there."""

_MOST_TOLD = 20

MOST_FOUND = _MOST_TOLD + 1
"""So many problems are enough: one more than is told says that there are more."""

# As text: most runs meet no mistake, and need not wait for expressions to be compiled.
_PLACE = r" - at (`key` in )?`\$([^`]*)`$"
_EXPECTED_GOT = r"Expected `(.+?)`(, got `.+`)?$"
_EXPECTED = r"Expected `(.+?)` (.+)$"

_PYTHON_NAMES = {"array": "list", "object": "dict", "null": "None"}


def wrong_parts(hint: Any, value: Any, where: str) -> list[Problem]:
    """What can be found wrong with a JSON value that could not be converted, `MOST_FOUND` problems at most.

    Args:
        hint: What it should have become.
        value: What came.
        where: What the value is called.
    """
    try:
        return list(islice(_Search().find(hint, value, where), MOST_FOUND))
    except RecursionError:
        return [(where, f"expected {expected_text(hint)}, got a value nested too deeply")]


def listed(problems: Sequence[Problem]) -> str:
    """Problems as they follow a colon: in its line if there is one, else each in a line of its own."""
    texts = [f"{where}: {text}" if where else text for where, text in problems[:_MOST_TOLD]]
    if len(problems) > _MOST_TOLD:
        texts.append("and more")
    separator = " " if len(texts) == 1 else "\n  "
    return separator + separator.join(texts)


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
    reason = re.sub(_PLACE, "", str(error)).removeprefix("JSON is malformed: ")
    if isinstance(error, UnicodeDecodeError):
        reason = f"byte {error.start} is not UTF-8"
    if b"NaN" in data or b"Infinity" in data:
        reason += "; NaN and Infinity are not JSON"
    return f"not valid JSON: {reason[:1].lower()}{reason[1:]}"


class _Search:
    """Goes through one value. A list of a million members needs its decoder once."""

    def __init__(self) -> None:
        self._decoders: dict[int, tuple[Any, Any]] = {}
        self._in_several = False
        """Whether it searches in one of several members of a union that may have been meant."""

    def find(self, hint: Any, value: Any, where: str) -> Iterator[Problem]:
        error = _failure(self._decoder(hint), value)
        if error is None:
            return
        told = getattr(error.__cause__, "errors", None) if is_pydantic(hint) else None
        if told is not None:  # All that pydantic tells is kept.
            yield from (_of_pydantic(one, where) for one in told(include_url=False, include_context=False))
            return
        inner = bare(hint)
        members = union_members(inner)
        if len(members) > 1:
            yield from self._in_union(inner, members, value, where, error)
            return
        deeper = (self.find(part, each, where + place) for part, each, place in _parts(inner, value))
        found = chain(chain.from_iterable(deeper), self._of_keys(inner, value, where))
        yield next(found, None) or (where, _text(hint, value, error))
        yield from found

    def _decoder(self, hint: Any) -> Callable[[bytes], Any]:
        if id(hint) not in self._decoders:
            self._decoders[id(hint)] = (hint, decoder(adapted(hint)))
        return self._decoders[id(hint)][1]

    def _in_union(
        self, hint: Any, members: Sequence[Any], value: Any, where: str, error: Exception
    ) -> Iterator[Problem]:
        """Of one member that may have been meant all that is wrong, of several the first thing each."""
        meant = [member for member in members if _may_be_meant(bare(member), value)]
        text = _text(hint, value, error)
        if len(meant) > 1 and self._in_several:
            # What each of them lacks is told of the outermost union only: each further one would double the text.
            yield where, text
            return
        several, self._in_several = self._in_several, self._in_several or len(meant) > 1
        searches = [(member, self.find(member, value, where)) for member in meant]
        # A member without problems would take it: what is wrong is a tag, or what is asked of the union as a whole.
        found = [(member, problem, more) for member, more in searches if (problem := next(more, None))]
        self._in_several = several
        if len(meant) == len(found) == 1:
            _, problem, more = found[0]
            yield problem
            yield from more
            return
        for member, (place, reason), _ in found:
            text += f"; as {expected_text(member)}: {listed([(place.removeprefix(where).lstrip('.'), reason)]).strip()}"
        yield where, text

    def _of_keys(self, hint: Any, value: Any, where: str) -> Iterator[Problem]:
        """Keys that are missing, unknown or of the wrong type."""
        kind = _fields.of(hint)
        if not isinstance(value, dict):
            return
        if kind is not None and not kind.array:
            for field in kind.fields:
                if field.required and field.encoded_name not in value:
                    yield where + step_text(field.encoded_name), f"missing, expected {expected_text(field.hint)}"
            known = {field.encoded_name for field in kind.fields} | {kind.tag[0] if kind.tag else None}
            for key in cast("dict[str, Any]", value):
                if kind.forbids_unknown and key not in known:
                    yield where + step_text(key), "unknown field"
        for of_key in typing.get_args(hint)[:1] if issubclass(_fields.class_of(hint), Mapping) else ():
            decode = decoder(dict[adapted(of_key), Any])
            for key in cast("dict[str, Any]", value):
                error = _failure(decode, {key: None})
                if error is not None:
                    yield f"{where} (a key)", _text(of_key, key, error)


def _failure(decode: Callable[[bytes], Any], value: Any) -> Exception | None:
    try:
        decode(msgspec.json.encode(value))
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # noqa: BLE001 - a class of the user may raise anything while it is made
        return error
    return None


def _parts(hint: Any, value: Any) -> Iterator[tuple[Any, Any, str]]:
    """The parts of a value with the hint and the place of each, as far as the hint says what they are."""
    arguments = typing.get_args(hint)
    kind = _fields.of(hint)
    if kind is not None:
        members = kind.by_name(value) or {}
        for index, field in enumerate(kind.fields):
            if field.encoded_name in members:
                place = f"[{index}]" if kind.array else step_text(field.encoded_name)
                yield field.hint, members[field.encoded_name], place
    elif issubclass(_fields.class_of(hint), Mapping):
        of_values = int if _fields.class_of(hint) is collections.Counter else arguments[-1] if arguments else Any
        for key, each in cast("dict[str, Any]", value).items() if isinstance(value, dict) else ():
            yield of_values, each, step_text(key)
    elif isinstance(value, list) and arguments and typing.get_origin(hint) is not typing.Literal:
        values = cast("list[Any]", value)
        fixed = typing.get_origin(hint) is tuple and arguments[-1] is not ...
        hints = arguments if fixed else [arguments[0]] * len(values)
        for index, (part, each) in enumerate(zip(hints, values, strict=False)):
            yield part, each, f"[{index}]"


def _may_be_meant(hint: Any, value: Any) -> bool:
    """Whether a JSON object or list can have been meant for a member of a union."""
    kind = _fields.of(hint)
    origin = _fields.class_of(hint)
    if isinstance(value, dict):
        if kind is not None and not kind.array:
            members = cast("dict[str, Any]", value)
            return kind.tag is None or members.get(kind.tag[0], kind.tag[1]) == kind.tag[1]
        return issubclass(origin, Mapping) or is_pydantic(hint)
    if not isinstance(value, list) or issubclass(origin, (str, bytes, Mapping)):
        return False
    return kind.array if kind is not None else issubclass(origin, Iterable)


def _of_pydantic(error: dict[str, Any], where: str) -> Problem:
    place = where + "".join(step_text(step) for step in error["loc"])
    got = "" if error["type"] == "missing" else f", got {value_text(error['input'])}"
    return place, error["msg"] + got


def _text(hint: Any, value: Any, error: Exception) -> str:
    """What is wrong with a value as a whole."""
    expected = expected_text(hint)
    got = f"got {value_text(value)}"
    if not isinstance(error, msgspec.ValidationError):
        return f"expected {expected}, {got}: {type(error).__name__}: {error}"
    message = re.sub(_PLACE, "", str(error))
    constraint = re.match(_EXPECTED, message)
    if constraint and not re.match(_EXPECTED_GOT, message):
        return f"expected {_python_names(constraint[1])} {constraint[2]}, {got}"
    if re.match(_EXPECTED_GOT, message) or message.startswith("Invalid enum value"):
        return f"expected {expected}, {got}"
    return f"expected {expected}, {got}: {message[:1].lower()}{message[1:]}"


def _python_names(types: str) -> str:
    return " | ".join(_PYTHON_NAMES.get(name, name) for name in types.split(" | "))
