"""What counts as JSON, and how a value that is not is described."""

import collections
import dataclasses
import datetime
import decimal
import enum
import math
import uuid
from unittest.mock import MagicMock

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziet import MemoryValueError
from ziet._encode import Unencodable, encode, encode_filter, encode_memory, encode_metadata, short
from ziet._limits import MAX_JSON_BYTES, size_text, too_large


@dataclasses.dataclass
class Row:
    when: object


class Item(msgspec.Struct):
    price: object


class Colour(enum.Enum):
    RED = "red"
    NOTHING = math.nan


class Text(str): ...


class Number(int): ...


class Ratio(float): ...


class Foo: ...


class Model(pydantic.BaseModel): ...


class Hostile:
    def __repr__(self):
        raise ValueError("no text")


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (None, b"null"),
        ({"a": [1, 2.5, "é", True, None]}, '{"a":[1,2.5,"é",true,null]}'.encode()),
        ({1: "a", 2.5: "b"}, b'{"1":"a","2.5":"b"}'),
        ((1, "a"), b'[1,"a"]'),
        ({3}, b"[3]"),
        (10**30, b"1" + b"0" * 30),
        (b"hi", b'"aGk="'),
        (datetime.datetime(2024, 5, 1, 12, tzinfo=datetime.timezone.utc), b'"2024-05-01T12:00:00Z"'),
        (datetime.date(2024, 5, 1), b'"2024-05-01"'),
        (decimal.Decimal("1.10"), b'"1.10"'),
        (uuid.UUID(int=1), b'"00000000-0000-0000-0000-000000000001"'),
        (Colour.RED, b'"red"'),
        (Row([1]), b'{"when":[1]}'),
        (Item(None), b'{"price":null}'),
        (collections.OrderedDict(a=1), b'{"a":1}'),
        (Text("t"), b'"t"'),
        (Number(3), b"3"),
        ([Ratio(1.5)], b"[1.5]"),
        ({"null": "null"}, b'{"null":"null"}'),
    ],
)
def test_what_is_json(value, data):
    assert encode(value) == data


LOOP = []
LOOP.append({"again": LOOP})
DEEP = []
for _ in range(100_000):
    DEEP = [DEEP]

NOT_JSON = [
    (Foo(), "it is a Foo: use a dict or a dataclass instead"),
    (Foo, "it is a type: use its name, or make an instance of it"),
    ([1, Foo()], "[1] is a Foo: use a dict or a dataclass instead"),
    ({"rows": [0, 1, 2, Row(Foo())]}, ".rows[3].when is a Foo: use a dict or a dataclass instead"),
    ({"a key": {"b": Item((1, {2}, Foo()))}}, '["a key"].b.price[2] is a Foo: use a dict or a dataclass instead'),
    ({1: Foo()}, "[1] is a Foo: use a dict or a dataclass instead"),
    ({"a": MagicMock()}, ".a is an unittest.MagicMock: use the value that it stands for"),
    (Model, "it is a pydantic.ModelMetaclass: use its name, or make an instance of it"),
    (object(), "it is an object: use a dict or a dataclass instead"),
    ([iter([])], "[0] is a list_iterator: use list(...) of it"),
    (ValueError("x"), "it is a ValueError: raise it, or use str(...) of it"),
    ({"a": {(1, 2): 3}}, ".a has a key that is a tuple: use a text"),
    ({None: 1}, "it has a key that is None: use a text"),
    (["\ud800"], "[0] has text that is not valid Unicode"),
    ({"\ud800": 1}, "it has text that is not valid Unicode"),
    (LOOP, "it contains itself or is nested too deeply"),
    ({"a": DEEP}, "it contains itself or is nested too deeply"),
    (math.nan, "it is NaN"),
    (math.inf, "it is infinite"),
    ({"a": [None, {"b": -math.inf}]}, ".a[1].b is infinite"),
    ([Row(math.nan)], "[0].when is NaN"),
    (Item(Ratio("nan")), ".price is NaN"),
    ((None, Colour.NOTHING), "[1] is NaN"),
]


@pytest.mark.parametrize(("value", "text"), NOT_JSON, ids=[text for _, text in NOT_JSON])
def test_what_is_not(value, text):
    with pytest.raises(Unencodable) as caught:
        encode(value)
    assert str(caught.value) == text


def test_the_parts_of_what_is_not():
    with pytest.raises(Unencodable) as caught:
        encode({"rows": [Row(Foo())]})
    assert (caught.value.path, caught.value.type_name, caught.value.reason) == (
        ".rows[0].when",
        "Foo",
        "is a Foo: use a dict or a dataclass instead",
    )


def test_equal_values_give_equal_bytes():
    # Numbers that fall on one place of the set's table, so that it keeps them as they came.
    numbers, reverse = set(map(int, ("8", "0", "16"))), set(map(int, ("16", "0", "8")))
    assert list(numbers) != list(reverse)
    assert encode({"b": numbers, "a": 1}, deterministic=True) == encode({"a": 1, "b": reverse}, deterministic=True)
    assert encode({"b": 1, "a": 2}) == b'{"b":1,"a":2}'


@given(st.recursive(st.none() | st.floats(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_a_nan_never_gets_through(value):
    if _has_infinite_number(value):
        with pytest.raises(Unencodable, match=r"is NaN|is infinite"):
            encode(value)
    else:
        assert msgspec.json.decode(encode(value)) == value


def _has_infinite_number(value):
    if isinstance(value, (list, dict)):
        return any(map(_has_infinite_number, value.values() if isinstance(value, dict) else value))
    return isinstance(value, float) and not math.isfinite(value)


MB = 1024 * 1024
TOO_MUCH = "x" * (7 * MB)


class TestSizes:
    @pytest.mark.parametrize(
        ("nbytes", "text"),
        [
            (7 * MB, "7.0 MB"),
            (0, "0.0 MB"),
            (MAX_JSON_BYTES, "6.0 MB"),
            (MAX_JSON_BYTES - 1, "6.0 MB"),
            (MAX_JSON_BYTES + 1, "6.000001 MB"),
            (MAX_JSON_BYTES + 30_000, "6.03 MB"),
            (MAX_JSON_BYTES + MB // 10, "6.1 MB"),
            (100 * MB, "100.0 MB"),
        ],
    )
    def test_as_text(self, nbytes, text):
        assert size_text(nbytes) == text

    def test_the_limit_itself_is_allowed(self):
        assert too_large(MAX_JSON_BYTES) is None
        assert too_large(MAX_JSON_BYTES + 1) == "6.000001 MB, limit 6 MB"
        at_limit = "x" * (MAX_JSON_BYTES - 2)
        assert len(encode_memory("user", at_limit)) == MAX_JSON_BYTES

    def test_a_memory_value(self):
        with pytest.raises(MemoryValueError) as caught:
            encode_memory("user", TOO_MUCH)
        assert str(caught.value) == 'memory key "user": the value is 7.0 MB, limit 6 MB'

    def test_metadata(self):
        with pytest.raises(MemoryValueError) as caught:
            encode_metadata("user", {"a": TOO_MUCH})
        assert str(caught.value) == 'memory key "user": the metadata is 7.0 MB, limit 1 MB'


class TestErrors:
    def test_a_memory_value_names_key_and_type(self):
        with pytest.raises(MemoryValueError) as caught:
            encode_memory('a "key"', Foo())
        assert (
            str(caught.value)
            == r'memory key "a \"key\"": the value is not JSON: value is a Foo: use a dict or a dataclass instead'
        )

    @pytest.mark.parametrize("metadata", [[1], "text", {1: 2}, 5])
    def test_metadata_must_be_an_object(self, metadata):
        with pytest.raises(MemoryValueError, match='memory key "user": metadata must be a dict with text as keys, got'):
            encode_metadata("user", metadata)

    def test_metadata_must_be_json(self):
        with pytest.raises(MemoryValueError, match=r'memory key "user": the metadata is not JSON: metadata\.a is NaN'):
            encode_metadata("user", {"a": math.nan})

    def test_no_metadata_is_none(self):
        assert encode_metadata("user", None) is None
        assert encode_metadata("user", {"a": 1}) == b'{"a":1}'

    def test_a_filter_must_be_an_object_of_json(self):
        assert encode_filter(None) is None
        with pytest.raises(MemoryValueError, match=r"filter of memory\.search must be a dict"):
            encode_filter([1])
        with pytest.raises(MemoryValueError, match=r"filter of memory\.search is not JSON: filter\.a is a Foo: use"):
            encode_filter({"a": Foo()})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": 1}, '{"a":1}'),
        (print, "<built-in function print>"),
        (Hostile(), "a Hostile"),
        ("x" * 100, '"' + "x" * 76 + "..."),
    ],
)
def test_values_are_shown_short(value, text):
    assert short(value) == text
