"""Test data for a run without input, the same every time.

Each parameter without a default gets, in this order: what `ziet.toml` has for it, an example in its annotation, one in
the docstring, or else what fits its JSON Schema. Those with a default get only what `ziet.toml` has.
"""

from __future__ import annotations

import re
import signal
from contextlib import contextmanager
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import msgspec

from ziet import _schema
from ziet._encode import Unencodable, encode, short
from ziet._errors import InputError
from ziet._problems import listed, unknown_parameter, wrong_parts
from ziet._type_text import choices, union_members

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from ziet._action import ActionFunction
    from ziet._inputs import Field, Inputs

_BY_NAME = (
    ("email", "user@example.com"),
    ("url", "https://example.com"),
    ("link", "https://example.com"),
    ("website", "https://example.com"),
    ("currency", "usd"),
    ("first_name", "Ada"),
    ("last_name", "Lovelace"),
    ("filename", "example.txt"),
    ("file_name", "example.txt"),
    ("username", "ada"),
    ("name", "Ada Lovelace"),
    ("phone", "+1 555 0100"),
    ("country", "US"),
    ("city", "London"),
    ("region", "CA"),
    ("state", "CA"),
    ("language", "en"),
    ("date", "2024-01-15"),
    ("topic", "solar energy"),
    ("query", "solar energy"),
    ("subject", "Hello"),
    ("title", "Hello"),
    ("message", "Hello!"),
    ("path", "example.txt"),
)
"""The text for a parameter whose name contains one of these; the first that fits counts."""

_BY_FORMAT = {
    "date": "2024-01-15",
    "date-time": "2024-01-15T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "user@example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com",
    "uuid": "12345678-1234-4678-9234-567812345678",
}

_LONGEST_SIMPLE = 40
"""How long a text is at most that is tried for a pattern, unless it must be longer."""


_SECONDS = 1
"""Of computing for each parameter: a pattern may take for ever on a text that hardly differs from what it matches."""


class _CannotMake(Exception):
    """No value of a type can be made up."""


class _TookTooLong(BaseException):
    """A parameter has had its time. No Exception, since what the user's classes raise may be anything of that kind."""


@contextmanager
def _in_time() -> Generator[None]:
    """Ends what takes longer, also within a regular expression.

    Raises:
        _TookTooLong: It did.
    """

    def stop(*_: object) -> None:
        raise _TookTooLong

    before = signal.signal(signal.SIGVTALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, _SECONDS)
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before or signal.SIG_DFL)


def make_input(action: ActionFunction[..., Any], inputs: Inputs, given: bytes) -> tuple[bytes, list[str]]:
    """An input for `action`, and what is in it as lines such as `amount=10` or `region="CA" (ziet.toml)`.

    Args:
        action: The action to run.
        inputs: Its parameters.
        given: A JSON object with what `ziet.toml` has for some of them.

    Raises:
        InputError: Something in `ziet.toml` does not fit, or nothing could be made up that a parameter takes.
    """
    from_file = _checked(action, inputs, msgspec.json.decode(given, type=dict[str, msgspec.Raw]))
    members: dict[str, bytes] = {}
    problems: list[tuple[str, str]] = []
    for field in inputs.fields:
        if field.name in from_file:
            members[field.name] = from_file[field.name]
        elif field.required:
            data = _made_for(field, action.local.__doc__ or "")
            if data is None:
                advice = f"give it with `-p {field.name}=…` or under {_table(action)} in ziet.toml"
                problems.append((field.name, f"no test data can be made up, {advice}"))
            else:
                members[field.name] = data
    if problems:
        raise InputError(f"no input for {action.id}:{listed(problems)}", problems)
    members |= from_file
    lines = [
        f"{name}={short(msgspec.json.decode(data))}{' (ziet.toml)' if name in from_file else ''}"
        for name, data in members.items()
    ]
    return b"{" + b",".join(msgspec.json.encode(name) + b":" + data for name, data in members.items()) + b"}", lines


def _table(action: ActionFunction[..., Any]) -> str:
    return f'[inputs."{action.id}"]'


def _checked(action: ActionFunction[..., Any], inputs: Inputs, given: dict[str, msgspec.Raw]) -> dict[str, bytes]:
    fields = {field.name: field for field in inputs.fields}
    problems: list[tuple[str, str]] = []
    for name, raw in given.items():
        field = fields.get(name) or inputs.rest
        if field is None:
            problems.append((name, unknown_parameter(name, list(fields))))
            continue
        try:
            with _in_time():
                if not _fits(field, bytes(raw)):
                    problems.extend(wrong_parts(field.hint, msgspec.json.decode(raw), name))
        except _TookTooLong:
            problems.append((name, f"checking it takes longer than {_SECONDS} s"))
    if problems:
        raise InputError(
            f"wrong input for {action.id} under {_table(action)} in ziet.toml:{listed(problems)}", problems
        )
    return {name: bytes(raw) for name, raw in given.items()}


def _fits(field: Field, data: bytes) -> bool:
    try:
        field.decode(data)
    except Exception:  # noqa: BLE001 - a class of the user may raise anything while it is made
        return False
    return True


def _made_for(field: Field, docstring: str) -> bytes | None:
    candidates = chain(_from_annotation(field), _from_docstring(docstring, field.name), _from_type(field))
    try:
        with _in_time():
            return next((data for data in candidates if _fits(field, data)), None)
    except _TookTooLong:
        return None


def _from_annotation(field: Field) -> Iterator[bytes]:
    for member in (field.hint, *union_members(field.hint)):
        for metadata in getattr(member, "__metadata__", ()):
            examples = getattr(metadata, "examples", None)
            yield from _encoded(examples if isinstance(examples, (list, tuple)) else ())


def _encoded(values: Any) -> Iterator[bytes]:
    for value in values:
        try:
            yield encode(value)
        except Unencodable:
            continue


def _from_type(field: Field) -> Iterator[bytes]:
    # msgspec sorts the values of a Literal; those of the parameter itself are in their own order in the hint.
    for member in union_members(field.hint):
        yield from _encoded(choices(member))
    schemas = _schema.Schemas("validation", documented=False)
    try:
        made = encode(_Maker(schemas.definitions).make(schemas.of(field.adapted), field.name))
    except Exception:  # noqa: BLE001 - nothing can be made, or a schema that the user's class gives pydantic is odd
        return
    yield made


_EXAMPLE = re.compile(r"\be\.g\.,?\s*")
_QUOTED = re.compile(r"([\"'`])(.*?)\1")
_UNQUOTED = re.compile(r"[^\s,;)]+")


def _from_docstring(docstring: str, name: str) -> Iterator[bytes]:
    """What the examples in the description of the parameter (`e.g., "CA"`) may mean as JSON."""
    if _EXAMPLE.search(docstring):
        from ziet import _docstring

        text = _docstring.parse(docstring).parameters.get(name, "")
        for match in _EXAMPLE.finditer(text):
            yield from _readings(text[match.end() :])


def _readings(text: str) -> Iterator[bytes]:
    """What an example may mean as JSON: as it stands, then as text."""
    quoted = _QUOTED.match(text)
    if quoted:
        example = quoted[2]
        if quoted[1] == "`":
            yield example.encode()
            example = example.strip("\"'")
        yield msgspec.json.encode(example)
        return
    if text[:1] in ("[", "{"):
        closing = {"[": "]", "{": "}"}[text[0]]
        ends = [index + 1 for index, character in enumerate(text) if character == closing]
        yield from (text[:end].encode() for end in ends)
        return
    word = _UNQUOTED.match(text)
    if word:
        example = word[0].rstrip(".")
        yield example.encode()
        yield msgspec.json.encode(example)


class _Maker:
    """Makes a value that fits a JSON Schema: only what is required, and always the same."""

    def __init__(self, definitions: dict[str, Any]) -> None:
        self._definitions = definitions
        self._inside: list[str] = []
        """The definitions that are being made, which must not contain themselves."""

    def make(self, schema: Any, name: str, number: int = 0) -> Any:
        """A value called `name`; another `number` gives another value, if there is one.

        Raises:
            _CannotMake: It would never end, or nothing simple matches a pattern.
        """
        if schema is True:
            schema = {}
        for values in (schema.get("examples"), [schema["const"]] if "const" in schema else schema.get("enum")):
            if values:
                return values[number % len(values)]
        if "$ref" in schema:
            return self._referred(schema["$ref"].removeprefix("#/$defs/"), name, number)
        for part in schema.get("allOf", ()):
            schema = {**part, **schema, "allOf": ()}
        members = schema.get("anyOf") or schema.get("oneOf")
        if members:
            return self._one_of(members, name, number)
        types = schema.get("type", "string")
        kind = types if isinstance(types, str) else types[-1] if types[0] == "null" else types[0]
        if kind == "array":
            return self._array(schema, name, number)
        if kind == "object":
            return self._object(schema, name, number)
        if kind in ("integer", "number"):
            return _number(schema, number)
        return {"null": None, "boolean": number % 2 == 0}[kind] if kind != "string" else _text(schema, name, number)

    def _referred(self, definition: str, name: str, number: int) -> Any:
        if definition in self._inside:
            raise _CannotMake
        self._inside.append(definition)
        try:
            return self.make(self._definitions[definition], name, number)
        finally:
            self._inside.pop()

    def _one_of(self, members: list[Any], name: str, number: int) -> Any:
        """Of the first member of which something can be made; null only if there is no other."""
        for member in sorted(members, key=lambda member: member.get("type") == "null"):
            try:
                return self.make(member, name, number)
            except _CannotMake:
                continue
        raise _CannotMake

    def _array(self, schema: Any, name: str, number: int) -> list[Any]:
        least = schema.get("minItems", 0)
        places = schema.get("prefixItems", [])[:least]
        made = [self.make(place, place.get("title", name), number) for place in places]
        more = max(0, least - len(made)) if "prefixItems" in schema else max(1, least)
        # One element is more telling than none, if it may be.
        optional = more > least
        more = min(more, schema.get("maxItems", more))
        singular = name[:-1] if name.endswith("s") else name
        try:
            distinct = schema.get("uniqueItems", False)
            made += [self.make(schema.get("items", {}), singular, number + index * distinct) for index in range(more)]
        except _CannotMake:
            if not optional:
                raise
        return made

    def _object(self, schema: Any, name: str, number: int) -> dict[str, Any]:
        properties = schema.get("properties", {})
        # The tag of a class is told although it may be left out.
        needed = [name for name, each in properties.items() if "const" in each or name in schema.get("required", ())]
        made = {member: self.make(properties[member], member, number) for member in needed}
        for index in range(schema.get("minProperties", 0) - len(made)):
            key = self.make({"type": "string", **schema.get("propertyNames", {})}, "key", index)
            made[str(key)] = self.make(schema.get("additionalProperties", {}), name, number)
        return made


def _number(schema: Any, number: int) -> float:
    """10, or what is nearest to it within the bounds."""
    step = schema.get("multipleOf", 1)
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    is_int = schema["type"] == "integer"
    if above is not None and below is not None and not is_int:
        step = min(step, (below - above) / 2)
    if above is not None:
        low = above + step if low is None else max(low, above + step)
    if below is not None:
        high = below - step if high is None else min(high, below - step)
    value = 10 if low is None else max(10, low)
    value = value if high is None else min(value, high)
    if "multipleOf" in schema:
        value -= value % step
        if low is not None and value < low:
            value += step
    value += number * step
    return int(value) if is_int else float(value)


def _text(schema: Any, name: str, number: int) -> str:
    lowered = name.lower()
    text = _BY_FORMAT.get(schema.get("format", ""))
    if text is None:
        text = next((example for part, example in _BY_NAME if part in lowered), None)
    if text is None:
        is_id = lowered in ("id", "key") or lowered.endswith("_id")
        text = f"{lowered.removesuffix('_id')}_1" if is_id else "example"
    if number:
        text += str(number + 1)
    pattern = schema.get("pattern")
    shortest, longest = schema.get("minLength", 0), schema.get("maxLength", len(text))
    candidates = [text.ljust(shortest, "x")[: max(shortest, longest)]]
    if pattern is None:
        return candidates[0]
    lengths = range(max(1, shortest), max(shortest, _LONGEST_SIMPLE) + 1)
    candidates += (char * length for char in "1aA" for length in lengths)
    try:
        matches = re.compile(pattern).search
    except re.error:  # Such as one in the syntax of pydantic.
        raise _CannotMake from None
    fitting = next(islice(filter(matches, candidates), number, None), None)
    if fitting is None:
        raise _CannotMake
    return fitting
