"""JSON Schemas: valid by the metaschema, and as strict as the decoder."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import re
from typing import Annotated, Any

import jsonschema
import msgspec
import pydantic
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from every_hint import HINTS, inputs_of
from ziet import InputError
from ziet._schema import Schemas


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


def schema_of(inputs):
    schemas = Schemas("validation")
    properties = {field.name: schemas.of(field.adapted) for field in inputs.fields}
    return {"type": "object", "properties": properties, "$defs": schemas.definitions}


def accepted(inputs, arguments):
    try:
        inputs.decode(json.dumps(arguments).encode())
    except InputError:
        return False
    return True


@pytest.mark.parametrize("hint", HINTS)
def test_what_validates_is_what_is_accepted(define, hint):
    inputs = inputs_of(define, hint)
    schema = schema_of(inputs)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = Validator(schema, format_checker=jsonschema.FormatChecker())
    values = conforming(schema["properties"]["x"], schema["$defs"])
    seen = set()

    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
    @given(st.one_of(values, spoiled(values), JSON))
    def check(value):
        assume(not is_exception(value))
        is_valid = validator.is_valid({"x": value})
        seen.add(is_valid)
        if hint in EXCEPTIONS_OF_HINTS and not is_valid:
            return
        assert is_valid == accepted(inputs, {"x": value}), value

    check()
    assert True in seen
