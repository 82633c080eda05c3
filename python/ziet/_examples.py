"""Test data for a run without input: what the docstring gives as an example, else something plausible by type.

It is the same every time. Only parameters without a default get any.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import inspect as kinds

from ziet._encode import Unencodable, encode, short
from ziet._errors import InputError
from ziet._type_text import choices, union_members

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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

_BY_KIND: dict[type, Any] = {
    kinds.NoneType: None,
    kinds.BoolType: True,
    kinds.DateTimeType: "2024-01-15T12:00:00Z",
    kinds.DateType: "2024-01-15",
    kinds.TimeType: "12:00:00",
    kinds.TimeDeltaType: "PT1H",
    kinds.UUIDType: "12345678-1234-5678-1234-567812345678",
    kinds.DecimalType: "10.00",
    kinds.BytesType: "ZXhhbXBsZQ==",
    kinds.ByteArrayType: "ZXhhbXBsZQ==",
    kinds.MemoryViewType: "ZXhhbXBsZQ==",
    kinds.RawType: {},
}

_MOST_NESTED = 20


class _CannotMake(Exception):
    """No value of a type can be made up."""


def make_input(action: ActionFunction[..., Any], inputs: Inputs) -> tuple[bytes, list[str]]:
    """An input for `action` made from nothing, and what was made up as lines such as `amount=10`.

    Raises:
        InputError: For some parameter nothing could be made up that its hint takes.
    """
    docstring = action.local.__doc__ or ""
    members: list[bytes] = []
    lines: list[str] = []
    problems: list[tuple[str, str]] = []
    for field in inputs.fields:
        if not field.required:
            continue
        data = _from_docstring(docstring, field)
        if data is None:
            data = _from_type(field)
        if data is None:
            problems.append((field.name, f"no test data can be made up, give it with `-p {field.name}=…`"))
            continue
        members.append(msgspec.json.encode(field.name) + b":" + data)
        lines.append(f"{field.name}={short(msgspec.json.decode(data))}")
    if problems:
        texts = "; ".join(f"{parameter}: {text}" for parameter, text in problems)
        raise InputError(f"no input for {action.id}: {texts}", problems)
    return b"{" + b",".join(members) + b"}", lines


def _fits(field: Field, data: bytes) -> bool:
    try:
        field.decode(data)
    except Exception:  # noqa: BLE001 - a class of the user may raise anything while it is made
        return False
    return True


def _from_type(field: Field) -> bytes | None:
    # msgspec sorts the values of a Literal, so those of the parameter itself are taken from the hint.
    written = [value for member in union_members(field.hint) for value in choices(member)]
    try:
        data = encode(written[0] if written else _made_up(kinds.type_info(field.adapted), field.name, 0))
    except (_CannotMake, Unencodable):
        return None
    return data if _fits(field, data) else None


_SECTION = re.compile(r"\s*([A-Z][A-Za-z ]*):\s*$")
_PARAMETER_SECTIONS = frozenset(["Args", "Arguments", "Parameters", "Params", "Keyword Args", "Keyword Arguments"])
_EXAMPLE = re.compile(r"\be\.g\.,?\s*")
_QUOTED = re.compile(r"([\"'`])(.*?)\1")
_UNQUOTED = re.compile(r"[^\s,;)]+")


def _from_docstring(docstring: str, field: Field) -> bytes | None:
    """The JSON of the first example (`e.g., "CA"`) in the parameter's own lines that its hint takes."""
    for text in _descriptions(docstring, field.name):
        for match in _EXAMPLE.finditer(text):
            for data in _readings(text[match.end() :]):
                if _fits(field, data):
                    return data
    return None


def _descriptions(docstring: str, name: str) -> Iterator[str]:
    """The text of each place of the docstring that describes the parameter, with the lines that go on with it."""
    start = re.compile(rf"(?::param\s+)?\*{{0,2}}{re.escape(name)}\s*(?:\([^)]*\))?\s*(?:[:=–—-]|\s)")
    section = None
    lines = docstring.expandtabs().splitlines()
    for number, line in enumerate(lines):
        header = _SECTION.match(line)
        if header and (section is None or not start.match(line.strip())):
            section = header[1]
        elif (section is None or section in _PARAMETER_SECTIONS) and start.match(line.strip() + " "):
            yield " ".join([line.strip(), *_continuation(lines[number + 1 :], _indent(line))])


def _continuation(lines: list[str], indent: int) -> Iterator[str]:
    for line in lines:
        if not line.strip() or _indent(line) <= indent:
            return
        yield line.strip()


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


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


def _made_up(kind: object, name: str, depth: int) -> Any:
    """A JSON value for a type as msgspec describes it; `name` is what it is for."""
    if depth > _MOST_NESTED:
        raise _CannotMake
    kind_type = type(kind)
    if kind_type in _BY_KIND:
        return _BY_KIND[kind_type]
    make = _MAKERS.get(kind_type)
    if make is None:
        raise _CannotMake
    return make(kind, name, depth + 1)


def _number(kind: Any, start: float, step: float) -> float:
    """`start`, moved into the bounds of the type."""
    value = start
    if kind.ge is not None:
        value = max(value, kind.ge)
    if kind.gt is not None and value <= kind.gt:
        value = kind.gt + step
    if kind.le is not None:
        value = min(value, kind.le)
    if kind.lt is not None and value >= kind.lt:
        value = kind.lt - step
    if kind.multiple_of:
        value -= value % kind.multiple_of
        low = kind.ge if kind.ge is not None else kind.gt
        if low is not None and (value < low or value == kind.gt):
            value += kind.multiple_of
    return value


def _int(kind: Any, _name: str, _depth: int) -> int:
    return int(_number(kind, 10, 1))


def _float(kind: Any, _name: str, _depth: int) -> float:
    step = 1.0
    if kind.gt is not None and kind.lt is not None:
        step = (kind.lt - kind.gt) / 2
    return float(_number(kind, 10.0, step))


def _text(kind: Any, name: str, _depth: int) -> str:
    lowered = name.lower()
    text = next((example for part, example in _BY_NAME if part in lowered), None)
    if text is None:
        is_id = lowered in ("id", "key") or lowered.endswith("_id")
        text = f"{lowered.removesuffix('_id')}_1" if is_id else "example"
    shortest = getattr(kind, "min_length", None) or 0
    longest = getattr(kind, "max_length", None)
    return text.ljust(shortest, "x")[:longest]


def _array(kind: Any, name: str, depth: int) -> list[Any]:
    singular = name[:-1] if name.endswith("s") else name
    count = max(1, kind.min_length or 0)
    if kind.max_length is not None:
        count = min(count, kind.max_length)
    return [_made_up(kind.item_type, singular, depth)] * count


def _tuple(kind: Any, name: str, depth: int) -> list[Any]:
    return [_made_up(item, name, depth) for item in kind.item_types]


def _dict(kind: Any, name: str, depth: int) -> dict[str, Any]:
    if not kind.min_length:
        return {}
    key = str(_made_up(kind.key_type, "key", depth))
    return {key: _made_up(kind.value_type, name, depth)}


def _union(kind: Any, name: str, depth: int) -> Any:
    """The first member of which something can be made; null only if there is no other."""
    members = sorted(kind.types, key=lambda member: isinstance(member, kinds.NoneType))
    for member in members:
        try:
            return _made_up(member, name, depth)
        except _CannotMake:
            continue
    raise _CannotMake


def _literal(kind: Any, _name: str, _depth: int) -> Any:
    return kind.values[0]


def _enum(kind: Any, _name: str, _depth: int) -> Any:
    return next(iter(kind.cls))


def _object(kind: Any, _name: str, depth: int) -> Any:
    """The required fields; a Struct also has the tag that tells it from others."""
    fields = [field for field in kind.fields if field.required]
    members = {field.encode_name: _made_up(field.type, field.encode_name, depth) for field in fields}
    tag = getattr(kind, "tag", None)
    if getattr(kind, "array_like", False) or isinstance(kind, kinds.NamedTupleType):
        return [*([] if tag is None else [tag]), *members.values()]
    return members if tag is None else {kind.tag_field: tag, **members}


def _metadata(kind: Any, name: str, depth: int) -> Any:
    return _made_up(kind.type, name, depth)


_MAKERS: dict[type, Callable[[Any, str, int], Any]] = {
    kinds.AnyType: _text,
    kinds.CustomType: _text,
    kinds.IntType: _int,
    kinds.FloatType: _float,
    kinds.StrType: _text,
    kinds.ListType: _array,
    kinds.SetType: _array,
    kinds.FrozenSetType: _array,
    kinds.CollectionType: _array,
    kinds.VarTupleType: _array,
    kinds.TupleType: _tuple,
    kinds.DictType: _dict,
    kinds.UnionType: _union,
    kinds.LiteralType: _literal,
    kinds.EnumType: _enum,
    kinds.StructType: _object,
    kinds.DataclassType: _object,
    kinds.TypedDictType: _object,
    kinds.NamedTupleType: _object,
    kinds.Metadata: _metadata,
}
