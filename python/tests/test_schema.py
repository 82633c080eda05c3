"""JSON Schemas: valid by the metaschema, and as strict as the decoder."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import re
import sys
from typing import Annotated

import jsonschema
import jsonschema.validators
import pydantic
import pytest
from every_hint import HINTS, PYDANTIC_HINTS, action_of
from every_hint import Item as PydanticItem
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot
from msgspec import Meta
from typing_extensions import Doc

from ziet import Action, InputError, _registry
from ziet._examples import make_input
from ziet._inputs import Inputs
from ziet._project import spec
from ziet._results import Result

HEALTH = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


def integral_float(value):
    return isinstance(value, float) and value.is_integer()


def no_such_day(value):
    if not isinstance(value, str) or not re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        return False
    try:
        datetime.date.fromisoformat(value[:10])
    except ValueError:
        return True
    return False


def out_of_range(value):
    if isinstance(value, str):
        return re.search("[0-9]{9}", value) is not None
    return isinstance(value, (int, float)) and abs(value) > 1e300


EXCEPTIONS = {
    "JSON Schema sees no difference between 1 and 1.0, an action that takes an int does": integral_float,
    "a pattern that knows which days there are would be too long to read; dates alone have `format`": no_such_day,
    "durations, exponents and floats have limits that no pattern can count": out_of_range,
    "what a decimal may be written as beside the usual is not worth telling, such as 1_000":
        lambda value: isinstance(value, str) and re.search(r"\d[_\s]|[_\s]\d|[^\W0-9]|inf|nan", value, re.I) is not None
        and _is_decimal(value),
    "in patterns of Python, $ also matches before a last line break":
        lambda value: isinstance(value, str) and value.endswith("\n"),
}  # fmt: skip
"""Where schema and decoder may differ, with the test for such a value; it may stand anywhere in the input."""

EXCEPTIONS_OF_HINTS = {
    "Annotated[set[str], Meta(min_length=2)]": "bounds of a set count distinct elements, so the schema asks for such",
}
"""Hints of which the schema is stricter than the decoder."""


def _is_decimal(text):
    try:
        decimal.Decimal(text)
    except decimal.InvalidOperation:
        return False
    return True


def is_exception(value):
    if isinstance(value, dict):
        return any(is_exception(key) or is_exception(item) for key, item in value.items())
    if isinstance(value, list):
        return any(map(is_exception, value))
    return any(applies(value) for applies in EXCEPTIONS.values())


def _pattern(validator, pattern, instance, schema):
    """JSON Schema's patterns are those of JavaScript, where $ is the very end."""
    if isinstance(instance, str) and not re.search(pattern.replace("$", r"\Z"), instance):
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"pattern": _pattern})

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-10, 40),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=6),
    st.sampled_from(["", "a", "red", "1", "true", "null", "2024-02-29", "12:00:00", "PT1S", "YQ==", "Cat", "Dog"]),
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)


def conforming(schema, definitions, depth=0):
    """Values that a schema more or less describes."""
    if schema is True or depth > 12:
        return JSON
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/$defs/")
        return st.deferred(lambda: conforming(definitions[name], definitions, depth + 1))
    if "anyOf" in schema:
        return st.one_of([conforming(member, definitions, depth) for member in schema["anyOf"]])
    if "const" in schema or "enum" in schema:
        return st.sampled_from([schema["const"]] if "const" in schema else schema["enum"])
    types = schema.get("type")
    if isinstance(types, list):
        return st.one_of([conforming({"type": each}, definitions, depth) for each in types])
    return {"array": an_array, "object": an_object}.get(types, a_scalar)(schema, definitions, depth + 1)


def a_scalar(schema, _definitions, _depth):
    kind = schema.get("type")
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if kind == "integer":
        return st.integers(low, high).map(lambda value: value - value % schema.get("multipleOf", 1))
    if kind == "number":
        return st.floats(low, high, allow_nan=False, allow_infinity=False) | st.integers(-9, 9)
    if kind == "string" and "pattern" in schema:
        return st.from_regex(schema["pattern"].replace("$", r"\Z"), alphabet=st.characters(max_codepoint=127))
    if kind == "string":
        return st.text(min_size=schema.get("minLength", 0), max_size=schema.get("maxLength", 8))
    return {"null": st.none(), "boolean": st.booleans()}.get(kind, JSON)


def an_array(schema, definitions, depth):
    first = [conforming(item, definitions, depth) for item in schema.get("prefixItems", [])]
    if first:
        least = schema["minItems"]
        return st.tuples(*first).flatmap(lambda made: st.integers(least, len(first)).map(lambda n: list(made[:n])))
    items = conforming(schema.get("items", True), definitions, depth)
    return st.lists(items, min_size=schema.get("minItems", 0), max_size=min(3, schema.get("maxItems", 3)))


def an_object(schema, definitions, depth):
    known = {name: conforming(each, definitions, depth) for name, each in schema.get("properties", {}).items()}
    required = schema.get("required", [])
    fixed = st.fixed_dictionaries(
        {name: known[name] for name in required if name in known},
        optional={name: each for name, each in known.items() if name not in required},
    )
    if known or schema.get("additionalProperties") is False:
        return fixed
    names = schema.get("propertyNames", {})
    keys = conforming({"type": "string", **names}, definitions, depth)
    values = conforming(schema.get("additionalProperties", True), definitions, depth)
    return st.dictionaries(keys.map(str), values, max_size=min(2, schema.get("maxProperties", 2)))


@st.composite
def spoiled(draw, values):
    """A value that is changed in one place, however deep."""
    value = draw(values)
    if isinstance(value, (list, dict)) and value and draw(st.integers(0, 3)):
        place = draw(st.sampled_from(range(len(value)) if isinstance(value, list) else list(value)))
        copy = value.copy()
        copy[place] = draw(spoiled(st.just(value[place])))
        return copy
    return draw(st.one_of(JSON, *changes(value)))


def changes(value):
    if isinstance(value, list):
        yield JSON.map(lambda more: [*value, more])
        yield st.just(value[:-1])
        yield st.just(value + value)
    elif isinstance(value, dict):
        yield st.tuples(st.text(max_size=2), JSON).map(lambda more: {**value, more[0]: more[1]})
        yield st.just({name: value[name] for name in list(value)[1:]})
        yield st.just({f"{name} ": each for name, each in value.items()})
    elif isinstance(value, str):
        yield st.sampled_from([value[:-1], value[1:], value + value, value.swapcase(), f" {value}", f"{value}0"])
    elif isinstance(value, (int, float)):
        yield st.sampled_from([value + 1, value - 1, -value, value / 2, str(value)])


TRICKY = [
    *(
        "2024-01-15",
        "2024-01-15T12:00:00",
        "2024-01-15 12:00:00Z",
        "2024-01-15t12:00:00.5z",
        "2024-01-15T12:00:00+0130",
    ),
    *("2024-01-15T12:00", "2024-01-15T24:00:00Z", "2024-13-15", "20240115", "2024-01-15T12:00:00+01", "2024-01-15 "),
    *("12:00:00", "12:00:00.123456789", "12:00:00z", "12:00:00-23:59", "24:00:00", "12:00", "T12:00:00"),
    *("PT1H", "-P1D", "+p1dt2h3m4.5s", "PT1.5H", "P1.5DT1H", "P1W", "P", "PT", "PT1M1H", "P1DT", "PT.5S", "PT1H1S"),
    *(
        "12345678-1234-4678-9234-567812345678",
        "123456781234467892345678ABCDEFab",
        "12345678-12344678-9234-567812345678",
    ),
    *("10", "-1.50", ".5", "5.", "1e5", "+1E-3", ".", "e5", "1e", "", "01", "-0", "+1"),
    *("YQ==", "YWI=", "YWJj", "YWJjZGU=", "YWJjZGVm", "YQ", "YQ=", "=", "Y===", "_-8=", "+/8="),
    *([], {}, [[]], [{}], [1, 1], ["a", "a"], [None], [1, "a", 2], ["x", 1, 2], ["odd", "x", 1, 2], {"a": None}),
    *(0, -1, 10**30, 0.5, True, None, {"name": "Tom"}, {"type": "Cat", "name": "Tom"}, {"type": "Cow", "name": "Tom"}),
]
"""Values at the edges of some kind of hint, which each hint is asked about."""


def accepted(inputs, arguments):
    try:
        inputs.decode(json.dumps(arguments).encode())
    except InputError:
        return False
    return True


def described(action):
    """The spec of an action with its schemas, these as Python values."""
    told = spec(action, describe=True)
    return told, json.loads(told.input_schema or b""), json.loads(told.output_schema or b"")


def schema_of_input(action):
    return described(action)[1]


@pytest.mark.parametrize("hint", [*HINTS, *PYDANTIC_HINTS])
def test_what_validates_is_what_is_accepted(define, hint):
    action = action_of(define, hint)
    inputs = Inputs(action)
    schema = schema_of_input(action)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = Validator(schema, format_checker=jsonschema.FormatChecker())
    values = conforming(schema["properties"]["x"], schema.get("$defs"))
    seen = set()

    def agree(value):
        is_valid = validator.is_valid({"x": value})
        seen.add(is_valid)
        if is_valid or (hint not in EXCEPTIONS_OF_HINTS and hint not in PYDANTIC_HINTS):
            assert is_valid == accepted(inputs, {"x": value}), value

    @settings(max_examples=30, deadline=None, suppress_health_check=HEALTH, database=None, derandomize=True)
    @given(st.one_of(values, spoiled(values), JSON))
    def check(value):
        assume(not is_exception(value))
        agree(value)

    for value in TRICKY:
        agree(value)
    check()
    assert True in seen


@pytest.mark.parametrize("hint", [*HINTS, *PYDANTIC_HINTS])
def test_what_an_action_returns_fits_its_output_schema(define, hint):
    action = action_of(define, hint)
    schema = described(action)[2]
    jsonschema.Draft202012Validator.check_schema(schema)
    made, _ = make_input(action, Inputs(action), b"{}")
    value = Inputs(action).decode(made)["x"]
    result = Result(action).encode(value)
    Validator(schema, format_checker=jsonschema.FormatChecker()).validate(json.loads(result))


class Priority(enum.IntEnum):
    """How urgent it is."""

    LOW = 1
    HIGH = 2


@dataclasses.dataclass
class Customer:
    """Who pays.

    Attributes:
        email: Where the bill goes.
    """

    email: str
    name: Annotated[str, Doc("As on the card.")] = ""
    tags: list[str] = dataclasses.field(default_factory=list)


@Action(id="bill", description="Bill a customer")
def bill(
    customer: Customer,
    amount: Annotated[float, Meta(gt=0, description="In USD.")],
    priority: Priority = Priority.LOW,
    *,
    note: Annotated[str | None, Doc("For the receipt.")] = None,
    **labels: int,
) -> dict[str, float]:
    """
    Bill a customer, once.

    It may take a while.

    Args:
        customer: Who is billed.
        amount: Not told, since the annotation tells it.
        priority: When.

    Stores:
        bill_{id}: The bill.

    Raises:
        ValueError: The card has expired.

    Returns:
        What was paid, by currency.
    """
    return {}


def test_an_action_in_full():
    told, takes, gives = described(bill)
    assert told.documentation == "Bill a customer, once.\n\nIt may take a while."
    assert [(stored.key, stored.description) for stored in told.stores] == [("bill_{id}", "The bill.")]
    assert [(raised.type, raised.description) for raised in told.raises] == [("ValueError", "The card has expired.")]
    assert [parameter.description for parameter in told.parameters] == [
        "Who is billed.",
        "In USD.",
        "When.",
        "For the receipt.",
    ]
    assert takes == snapshot(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "customer": {"$ref": "#/$defs/Customer", "description": "Who is billed."},
                "amount": {"type": "number", "exclusiveMinimum": 0, "description": "In USD."},
                "priority": {"$ref": "#/$defs/Priority", "description": "When.", "default": 1},
                "note": {
                    "anyOf": [{"type": "string"}, {"type": "null"}],
                    "description": "For the receipt.",
                    "default": None,
                },
            },
            "required": ["customer", "amount"],
            "additionalProperties": {"type": "integer"},
            "$defs": {
                "Customer": {
                    "title": "Customer",
                    "description": "Who pays.",
                    "type": "object",
                    "properties": {
                        "email": {"type": "string", "description": "Where the bill goes."},
                        "name": {"type": "string", "description": "As on the card.", "default": ""},
                        "tags": {"type": "array", "items": {"type": "string"}, "default": []},
                    },
                    "required": ["email"],
                },
                "Priority": {"title": "Priority", "description": "How urgent it is.", "enum": [1, 2]},
            },
        }
    )
    assert gives == snapshot(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "additionalProperties": {"type": "number"},
            "description": "What was paid, by currency.",
        }
    )


def test_nothing_of_it_is_made_for_a_plain_run():
    plain = spec(bill, describe=False)
    assert (plain.input_schema, plain.output_schema, plain.documentation) == (None, None, None)
    assert (plain.stores, plain.raises) == ([], [])
    assert [parameter.description for parameter in plain.parameters] == [None] * 4


def test_the_page_s_example(define):
    source = '''
@Action(id="calculate_tax", name="Calculate Tax", description="Calculate tax amount", timeout=10)
def calculate_tax(amount: float, region: str) -> None:
    """
    Calculate tax for a given amount and region.

    Args:
        amount: The subtotal amount in USD
        region: Two-letter region code (e.g., "CA", "NY")

    Stores:
        tax_amount: Tax amount in USD

    Raises:
        ValueError: If region is invalid
    """
'''
    _registry.actions.clear()
    _, takes, gives = described(define(source)["calculate_tax"])
    assert takes == snapshot(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "amount": {"type": "number", "description": "The subtotal amount in USD"},
                "region": {"type": "string", "description": 'Two-letter region code (e.g., "CA", "NY")'},
            },
            "required": ["amount", "region"],
            "additionalProperties": False,
        }
    )
    assert gives == snapshot({"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "null"})


def test_classes_of_one_name_have_definitions_of_their_own(define):
    def other():
        @dataclasses.dataclass
        class Customer:
            number: int

        class Item(pydantic.BaseModel):
            weight: int

        return Customer, Item

    customer, item = other()
    names = {"A": Customer, "B": customer, "C": PydanticItem, "D": item}
    schema = schema_of_input(define("@Action(description='d')\ndef f(a: A, b: B, c: C, d: list[D]): ...", **names)["f"])
    assert list(schema["$defs"]) == snapshot(
        ["Customer", "python.tests.test_schema.Customer", "Item", "python.tests.test_schema.Item"]
    )
    Validator(schema).validate(
        {"a": {"email": ""}, "b": {"number": 1}, "c": {"sku": "ab", "price": 1}, "d": [{"weight": 1}]}
    )


def test_examples_and_defaults_that_are_not_json_are_left_out(define):
    hint = Annotated[int, Meta(examples=[object()])]
    action = define("@Action(description='d')\ndef f(x: hint = other): ...", hint=hint, other=object())["f"]
    schema = schema_of_input(action)
    assert schema["properties"] == {"x": {"type": "integer"}}


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the syntax is newer")
def test_an_alias_may_contain_itself(define):
    source = "type Json = dict[str, Json] | list[Json] | day\n@Action(description='d')\ndef f(x: Json): ..."
    schema = schema_of_input(define(source, day=datetime.date)["f"])
    Validator(schema).validate({"x": {"a": [{"b": "2024-01-15"}]}})
    assert not Validator(schema).is_valid({"x": {"a": [{"b": 1}]}})
