"""Test data for runs without input."""

from __future__ import annotations

import dataclasses
import datetime  # noqa: F401 - in the hints of executed source
import decimal  # noqa: F401 - likewise
import enum
import pathlib  # noqa: F401 - likewise
import subprocess
import sys
import time
import uuid  # noqa: F401 - likewise
from typing import Annotated, Any, Literal, NamedTuple, Optional, TypedDict, Union  # noqa: F401 - likewise

import msgspec
import pydantic
import pytest
from every_hint import HINTS, PYDANTIC_HINTS, action_of
from inline_snapshot import snapshot

from ziet import Action, InputError, _project
from ziet._examples import make_input
from ziet._inputs import Inputs


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass
class Address:
    city: str
    number: int
    extra: str = ""


@dataclasses.dataclass
class User:
    email: str
    address: Address
    friends: list[Address]


class Point(TypedDict):
    x: int


class Pair(NamedTuple):
    left: int
    right: str


class Cat(msgspec.Struct, tag=True):
    name: str


class Dog(msgspec.Struct, tag=True, array_like=True):
    name: str


@dataclasses.dataclass
class Endless:
    again: Endless


@dataclasses.dataclass
class Linked:
    value: int
    next: Linked | None


@dataclasses.dataclass
class Many:
    children: list[Many]


@dataclasses.dataclass
class Sized:
    size: Annotated[str, msgspec.Meta(examples=["XL"])]


class Model(pydantic.BaseModel):
    size: str = pydantic.Field(examples=["XL"])
    colour: Colour


@Action(id="calculate_tax", description="Calculate tax amount")
def calculate_tax(amount: float, region: str, *, rounded: bool = True) -> None:
    """
    Calculate tax for a given amount and region.

    Args:
        amount: The subtotal amount in USD
        region: Two-letter region code (e.g., "CA", "NY")

    Stores:
        tax_amount: Tax amount in USD (e.g., 3)
    """


def names_here():
    return {name: value for name, value in globals().items() if name != "__name__"}


def made(define, parameters, docstring="", given=b"{}", **names):
    """The input that is made for a function of these parameters."""
    names = names_here() | names
    source = f"@Action(description='d')\ndef f({parameters}):\n  {docstring!r}"
    action = define(source, **names)["f"]
    inputs = Inputs(action)
    data, lines = make_input(action, inputs, given)
    inputs.decode(data)
    return msgspec.json.decode(data), lines


def test_examples_of_the_docstring_come_first_then_the_type():
    data, lines = make_input(calculate_tax, Inputs(calculate_tax), b"{}")
    assert data == b'{"amount":10.0,"region":"CA"}'
    assert lines == ["amount=10.0", 'region="CA"']


def test_parameters_with_a_default_are_left_to_it(define):
    assert made(define, "a=1, *, b: str = 'x', **rest") == ({}, [])


BY_TYPE = [
    ("int", 10),
    ("float", 10.0),
    ("str", "example"),
    ("bool", True),
    ("None", None),
    ("list", ["example"]),
    ("list[int]", [10]),
    ("tuple[int, bool]", [10, True]),
    ("set[float]", [10.0]),
    ("tuple[int, ...]", [10]),
    ("dict", {}),
    ("dict[str, int]", {}),
    ("Optional[int]", 10),
    ("None | bool", True),
    ("Union[int, str]", 10),
    ("Any", "example"),
    ("object", "example"),
    ("Literal['b', 'a']", "b"),
    ("Optional[Literal['b', 'a']]", "b"),
    ("Colour", "red"),
    ("User", {
        "email": "user@example.com",
        "address": {"city": "London", "number": 10},
        "friends": [{"city": "London", "number": 10}],
    }),
    ("Point", {"x": 10}),
    ("Pair", [10, "example"]),
    ("Cat", {"type": "Cat", "name": "Ada Lovelace"}),
    ("Dog", ["Dog", "Ada Lovelace"]),
    ("datetime.datetime", "2024-01-15T12:00:00Z"),
    ("datetime.date", "2024-01-15"),
    ("datetime.time", "12:00:00"),
    ("datetime.timedelta", "PT1H"),
    ("decimal.Decimal", "10.00"),
    ("uuid.UUID", "12345678-1234-4678-9234-567812345678"),
    ("bytes", "ZXhhbXBsZQ=="),
    ("Annotated[int, msgspec.Meta(ge=50)]", 50),
    ("Annotated[int, msgspec.Meta(gt=50)]", 51),
    ("Annotated[int, msgspec.Meta(le=3)]", 3),
    ("Annotated[int, msgspec.Meta(lt=3)]", 2),
    ("Annotated[int, msgspec.Meta(multiple_of=4)]", 8),
    ("Annotated[int, msgspec.Meta(ge=10, multiple_of=7)]", 14),
    ("Annotated[float, msgspec.Meta(gt=0, lt=1)]", 0.5),
    ("Annotated[str, msgspec.Meta(min_length=9)]", "examplexx"),
    ("Annotated[str, msgspec.Meta(max_length=3)]", "exa"),
    ("Annotated[list[int], msgspec.Meta(min_length=2)]", [10, 10]),
    ("Annotated[list[int], msgspec.Meta(max_length=0)]", []),
    ("Annotated[dict[str, int], msgspec.Meta(min_length=1)]", {"key_1": 10}),
]  # fmt: skip


@pytest.mark.parametrize(("hint", "value"), BY_TYPE)
def test_values_by_type(define, hint, value):
    assert made(define, f"x: {hint}")[0] == {"x": value}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("email", "user@example.com"),
        ("customer_email", "user@example.com"),
        ("url", "https://example.com"),
        ("currency", "usd"),
        ("name", "Ada Lovelace"),
        ("user_id", "user_1"),
        ("id", "id_1"),
        ("city", "London"),
        ("param", "example"),
        ("width", "example"),
    ],
)
def test_text_by_name(define, name, value):
    assert made(define, f"{name}: str") == ({name: value}, [f'{name}="{value}"'])


def test_lists_of_text_by_name(define):
    assert made(define, "emails: list[str]")[0] == {"emails": ["user@example.com"]}


def test_long_values_are_shown_short(define):
    (line,) = made(define, "x: Annotated[str, msgspec.Meta(min_length=500)]")[1]
    assert len(line) == len("x=") + 80


DOCSTRINGS = [
    ("x: str", 'Args:\n  x: A code (e.g., "CA", "NY")', "CA"),
    ("x: str", "Args:\n  x: A code (e.g. 'CA')", "CA"),
    ("x: str", "Args:\n  x (str): A code, e.g. CA.", "CA"),
    ("x: str", "Args:\n  x: A code, e.g. `CA`", "CA"),
    ("x: str", "Args:\n  x: A code,\n    long to tell, e.g.\n    CA, for instance\n  y: e.g. NY", "CA"),
    ("x: str", "Does it.\n\n:param x: a code, e.g. CA", "CA"),
    ("x: str", "Parameters\n----------\nx : str\n    A code, e.g. CA", "CA"),
    ("x: str", "Does it, e.g. with CA.", "example"),
    ("x: str", "Args:\n  x: A number as text (e.g. 5)", "5"),
    ("x: int", "Args:\n  x: A number (e.g., 5)", 5),
    ("x: int", "Args:\n  x: A number (e.g. 5).", 5),
    ("x: int", "Args:\n  x: A number, e.g. `5`", 5),
    ("x: float", "Args:\n  x: A rate (e.g. 0.25)", 0.25),
    ("x: bool", "Args:\n  x: A switch (e.g. false)", False),
    ("x: list[int]", "Args:\n  x: Numbers (e.g. [1, [2], 3])", [10]),
    ("x: list[int]", "Args:\n  x: Numbers (e.g. [1, 2, 3])", [1, 2, 3]),
    ("x: dict", 'Args:\n  x: Data (e.g. {"a": {"b": 1}})', {"a": {"b": 1}}),
    ("x: Colour", "Args:\n  x: A colour (e.g. blue)", "blue"),
    ("x: datetime.date", "Args:\n  x: A day (e.g. 2020-02-29)", "2020-02-29"),
    ("x: int", "Args:\n  x: A number (e.g. many, e.g. 7)", 7),
    ("x: int", "Args:\n  x: A number (e.g., many)", 10),
    ("x: int", "Args:\n  xy: A number (e.g. 5)", 10),
    ("x: int", "Args:\n  y: Not x: (e.g. 5)", 10),
    ("x: int", "Returns:\n  x: A number (e.g. 5)", 10),
    ("x: int", "Args:\n  x: A number\n  y: Another (e.g. 5)", 10),
    ("x", "Args:\n  x: Anything (e.g. 5)", 5),
    ("x: int", "Args:\n  x: e.g.", 10),
]


@pytest.mark.parametrize(("parameter", "docstring", "value"), DOCSTRINGS)
def test_examples_of_docstrings(define, parameter, docstring, value):
    assert made(define, parameter, docstring)[0] == {"x": value}


def test_what_cannot_be_made_up_is_asked_for(define):
    with pytest.raises(InputError) as caught:
        made(define, "a: int, code: Annotated[str, msgspec.Meta(pattern='^[a-f]{3}[^a-z]{4}$')], x: Endless")
    assert str(caught.value) == snapshot(
        """\
no input for shop.f:
  code: no test data can be made up, give it with `-p code=…` or under [inputs."shop.f"] in ziet.toml
  x: no test data can be made up, give it with `-p x=…` or under [inputs."shop.f"] in ziet.toml\
"""
    )
    assert [parameter for parameter, _ in caught.value.problems] == ["code", "x"]


CANNOT = "no test data can be made up, give it with"


@pytest.mark.parametrize(
    ("hint", "why"),
    [
        (r"Annotated[str, pydantic.Field(pattern=r'^\p{L}+$')]", "a pattern that only pydantic reads"),
        (r"Annotated[str, msgspec.Meta(pattern=r'^(a+)+b$')]", "a pattern that takes for ever"),
        (r"Annotated[str, msgspec.Meta(pattern=r'^(a|a)+b', min_length=500)]", "and only on long text"),
        ("Annotated[int, pydantic.WithJsonSchema({'type': 'strange'})]", "a schema with a type that there is not"),
    ],
)
def test_what_cannot_be_made_costs_neither_the_others_nor_much_time(define, hint, why):
    began = time.process_time()
    with pytest.raises(InputError) as caught:
        made(define, f"a: int, x: {hint}, y: Endless")
    assert [(name, text[: len(CANNOT)]) for name, text in caught.value.problems] == [("x", CANNOT), ("y", CANNOT)], why
    assert time.process_time() - began < 3


def test_another_member_is_made_where_a_pattern_cannot_be_read(define):
    assert made(define, r"x: Annotated[str, pydantic.Field(pattern=r'^\p{L}+$')] | list[int]")[0] == {"x": [10]}


def test_a_value_in_ziet_toml_that_takes_for_ever_to_check_is_told(define):
    with pytest.raises(InputError) as caught:
        made(define, "x: Annotated[str, msgspec.Meta(pattern='^(a+)+b$')]", given=b'{"x":"%s"}' % (b"a" * 60))
    assert caught.value.problems == (("x", "checking it takes longer than 1 s"),)


class Raising:
    @property
    def examples(self):
        raise RuntimeError("no examples today")


class Odd:
    examples = 5


def test_an_odd_annotation_costs_only_itself(define):
    assert made(define, "x: Annotated[int, Odd()]", "Args:\n  x: e.g. 5")[0] == {"x": 5}


def test_whatever_is_raised_is_told_and_the_zygote_lives(define):
    action = define("@Action(description='d')\ndef f(x: Annotated[int, Raising()]): ...", **names_here())["f"]
    told = _project.make_input(action.id, b"{}")
    assert (told.input, told.made) == (b"{}", [])
    assert told.error == "no input for shop.f can be made: RuntimeError: no examples today. Give it with `--input`"


def test_test_data_is_made_without_reading_docstrings_of_classes():
    code = """
import sys, dataclasses
from ziet import Action
@dataclasses.dataclass
class User:
    \"\"\"Somebody.\"\"\"
    name: str
@Action(description="d")
def f(user: User): ...
from ziet._examples import make_input
from ziet._inputs import Inputs
print(make_input(f, Inputs(f), b"{}")[0].decode(), "docstring_parser" in sys.modules)
"""
    paths = f"import sys; sys.path[:0] = {[path for path in sys.path if path]!r}\n"
    done = subprocess.run([sys.executable, "-I", "-c", paths + code], capture_output=True, text=True, check=True)
    assert done.stdout == '{"user":{"name":"Ada Lovelace"}} False\n'


def test_it_is_the_same_every_time(define):
    first = made(define, "a: User, b: str, c: dict")
    assert first == made(define, "a: User, b: str, c: dict")


@pytest.mark.parametrize("hint", [*HINTS, *PYDANTIC_HINTS])
def test_something_is_made_for_every_kind_of_hint(define, hint):
    action = action_of(define, hint)
    inputs = Inputs(action)
    data, _ = make_input(action, inputs, b"{}")
    inputs.decode(data)


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        ("Annotated[str, msgspec.Meta(pattern='^[0-9]{4}$')]", "1111"),
        ("Annotated[str, msgspec.Meta(pattern='^[A-Z]+$', min_length=3)]", "AAA"),
        ("Annotated[str, msgspec.Meta(pattern='^[0-9a-f]{32}$')]", "1" * 32),
        ("Annotated[str, msgspec.Meta(pattern='^[0-9]+$', min_length=64)]", "1" * 64),
        ("Annotated[set[int], msgspec.Meta(min_length=3)]", [10, 11, 12]),
        ("Annotated[set[str], msgspec.Meta(min_length=2)]", ["example", "example2"]),
        ("Annotated[set[Colour], msgspec.Meta(min_length=2)]", ["red", "blue"]),
        ("Annotated[dict[int, str], msgspec.Meta(min_length=2)]", {"1": "example", "11": "example"}),
        ("Union[datetime.datetime, str]", "2024-01-15T12:00:00Z"),
        ("pathlib.Path", "example"),
        ("pydantic.HttpUrl", "https://example.com"),
        ("Linked", {"value": 10, "next": None}),
        ("Many", {"children": []}),
    ],
)
def test_values_that_need_some_thought(define, hint, value):
    assert made(define, f"x: {hint}")[0] == {"x": value}


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        ("Annotated[int, msgspec.Meta(examples=['no', 7, 8])]", 7),
        ("Annotated[int, pydantic.Field(examples=[7])]", 7),
        ("Optional[Annotated[int, msgspec.Meta(examples=[7])]]", 7),
        ("Annotated[datetime.date, msgspec.Meta(examples=[datetime.date(2020, 2, 29)])]", "2020-02-29"),
        ("Sized", {"size": "XL"}),
        ("Model", {"size": "XL", "colour": "red"}),
    ],
)
def test_examples_of_the_annotation_come_before_those_of_the_docstring(define, hint, value):
    assert made(define, f"x: {hint}", "Args:\n  x: A number (e.g. 5)")[0] == {"x": value}


def test_what_ziet_toml_has_comes_first(define):
    data, lines = made(define, "a: int, b: str, c: int = 3", "Args:\n  a: e.g. 5", b'{"c":4,"a":6}')
    assert data == {"a": 6, "b": "example", "c": 4}
    assert lines == ["a=6 (ziet.toml)", 'b="example"', "c=4 (ziet.toml)"]


def test_more_parameters_may_stand_in_ziet_toml(define):
    assert made(define, "a: int, **rest: int", given=b'{"more":1}') == (
        {"a": 10, "more": 1},
        ["a=10", "more=1 (ziet.toml)"],
    )


def test_what_is_wrong_in_ziet_toml_is_told(define):
    with pytest.raises(InputError) as caught:
        made(define, "amount: int, users: list[User]", given=b'{"amont":1,"users":[{"email":3}],"amount":"x"}')
    assert str(caught.value) == snapshot("""\
wrong input for shop.f under [inputs."shop.f"] in ziet.toml:
  amont: unknown parameter, did you mean amount?
  users[0].email: expected str, got 3 (int)
  users[0].address: missing, expected Address
  users[0].friends: missing, expected list[Address]
  amount: expected int, got "x" (str)\
""")
