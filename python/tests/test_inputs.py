# pyright: reportArgumentType=false
"""From JSON to arguments by the type hints, and back for calls of child runs."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import pathlib  # noqa: F401 - in the hints of executed source
import typing
import uuid
from typing import Annotated, Any, Literal, NamedTuple, NewType, Optional, TypedDict, Union  # noqa: F401 - in the hints of executed source

import msgspec
import pytest
from every_hint import action_of
from hypothesis import given
from hypothesis import strategies as st

from ziet import Action, DefinitionError, InputError
from ziet._inputs import Inputs
from ziet._results import Result

UserId = NewType("UserId", str)


@dataclasses.dataclass
class User:
    name: str
    age: int
    tags: dict[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Picky:
    price: int

    def __post_init__(self):
        if self.price < 0:
            raise ValueError("price is negative")
        if self.price > 100:
            raise KeyError("too dear")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Point(TypedDict):
    x: int
    y: int


class Pair(NamedTuple):
    left: int
    right: str


class Order(msgspec.Struct):
    item: str
    count: int = 1


class Odd:
    pass


@Action(id="pay", description="Several parameters")
def pay(amount: int, email: str, currency: str = "usd", *, note: Optional[str] = None) -> User:  # noqa: UP045
    return User(email, amount)


@Action(id="open", description="Takes anything more")
def open_ended(first: int, **rest: Any) -> None: ...


@Action(id="open_numbers", description="Takes more numbers")
def open_numbers(**rest: float) -> None: ...


@Action(id="nothing", description="Takes nothing")
def nothing() -> None: ...


@Action(id="odd_names", description="Names that a Struct has already")
def odd_names(
    self: int, __struct_fields__: str, cls: int, größe: int, p0: int, __init__: bool = False, _: int = 3
) -> None: ...


@Action(id="untyped", description="No hints at all")
def untyped(a, b=1, *, c=None): ...


@Action(id="later", description="Refers to what stands below")
def later(x: Below) -> Below: ...


@dataclasses.dataclass
class Below:
    value: int


inputs = Inputs(pay)


def one(define, hint, default="", **names):
    """The inputs of an action with one parameter `x` of that hint."""
    names = {**globals(), **names}
    names.pop("__name__")
    return Inputs(define(f"@Action(description='d')\ndef f(x: {hint}{default}): ...", **names)["f"])


UTC = datetime.timezone.utc
CONVERSIONS = [
    ("int", b"3", 3),
    ("int", b"123456789012345678901234567890", 123456789012345678901234567890),
    ("float", b"1.5", 1.5),
    ("float", b"2", 2.0),
    ("str", b'"a\\u00e9"', "aé"),
    ("bool", b"true", True),
    ("None", b"null", None),
    ("list", b'[1,"a",null]', [1, "a", None]),
    ("list[int]", b"[1,2]", [1, 2]),
    ("dict", b'{"a":[1]}', {"a": [1]}),
    ("dict[str, float]", b'{"a":1}', {"a": 1.0}),
    ("dict[int, str]", b'{"1":"a"}', {1: "a"}),
    ("tuple[int, str]", b'[1,"a"]', (1, "a")),
    ("tuple[int, ...]", b"[1,2,3]", (1, 2, 3)),
    ("set[int]", b"[1,1]", {1}),
    ("frozenset[str]", b'["a"]', frozenset(["a"])),
    ("typing.Sequence[int]", b"[1]", [1]),
    ("typing.Mapping[str, int]", b'{"a":1}', {"a": 1}),
    ("Optional[int]", b"null", None),
    ("Optional[int]", b"1", 1),
    ("Union[int, str]", b'"a"', "a"),
    ("'int | str | None'", b"null", None),
    ("Any", b'{"a":1}', {"a": 1}),
    ("object", b"[1]", [1]),
    ("Literal['a', 1]", b"1", 1),
    ("Colour", b'"red"', Colour.RED),
    ("User", b'{"name":"Ada","age":3,"more":1}', User("Ada", 3)),
    ("list[User]", b'[{"name":"Ada","age":3}]', [User("Ada", 3)]),
    ("Point", b'{"x":1,"y":2}', {"x": 1, "y": 2}),
    ("Pair", b'[1,"a"]', Pair(1, "a")),
    ("Order", b'{"item":"tea"}', Order("tea")),
    ("UserId", b'"u1"', "u1"),
    ("Annotated[int, msgspec.Meta(ge=1)]", b"1", 1),
    ("datetime.datetime", b'"2024-05-01T12:00:00Z"', datetime.datetime(2024, 5, 1, 12, tzinfo=UTC)),
    ("datetime.date", b'"2024-05-01"', datetime.date(2024, 5, 1)),
    ("datetime.timedelta", b'"PT90S"', datetime.timedelta(seconds=90)),
    ("decimal.Decimal", b'"1.10"', decimal.Decimal("1.10")),
    ("uuid.UUID", b'"12345678-1234-5678-1234-567812345678"', uuid.UUID("12345678-1234-5678-1234-567812345678")),
    ("bytes", b'"aGk="', b"hi"),
]


@pytest.mark.parametrize(("hint", "data", "value"), CONVERSIONS)
def test_values_are_converted_by_the_hint(define, hint, data, value):
    arguments = one(define, hint).decode(b'{"x":' + data + b"}")
    assert arguments == {"x": value}
    assert type(arguments["x"]) is type(value)


MISMATCHES = [
    ("int", b'"ten"', 'x: expected int, got "ten" (str)'),
    ("int", b"1.5", "x: expected int, got 1.5 (float)"),
    ("int", b"true", "x: expected int, got true (bool)"),
    ("int", b"null", "x: expected int, got null"),
    ("float", b'"nan"', 'x: expected float, got "nan" (str)'),
    ("bool", b"1", "x: expected bool, got 1 (int)"),
    ("str", b"5", "x: expected str, got 5 (int)"),
    ("None", b"5", "x: expected None, got 5 (int)"),
    ("list[int]", b'{"a":1}', 'x: expected list[int], got {"a":1} (dict)'),
    ("list[int]", b'[1,"a"]', 'x[1]: expected int, got "a" (str)'),
    ("list[list[int]]", b"[[1],[2,null]]", "x[1][1]: expected int, got null"),
    ("dict[str, int]", b'{"a":1,"b":"c"}', 'x.b: expected int, got "c" (str)'),
    ("dict[str, dict[str, int]]", b'{"a":{"k":1},"b c":{"z":[]}}', 'x["b c"].z: expected int, got [] (list)'),
    ("dict[int, str]", b'{"a":"b"}', 'x (a key): expected int, got "a" (str)'),
    ("Optional[int]", b'"a"', 'x: expected int | None, got "a" (str)'),
    ("list[Optional[int]]", b'["a"]', 'x[0]: expected int | None, got "a" (str)'),
    ("Literal['a', 1]", b'"b"', 'x: expected one of "a", 1, got "b" (str)'),
    ("Colour", b'"green"', 'x: expected one of "red", "blue", got "green" (str)'),
    ("list[Colour]", b'["green"]', 'x[0]: expected one of "red", "blue", got "green" (str)'),
    ("User", b"5", "x: expected User, got 5 (int)"),
    ("User", b'{"name":"Ada","age":null}', "x.age: expected int, got null"),
    ("User", b'{"name":"Ada"}', "x.age: missing, expected int"),
    ("list[User]", b'[{"name":"Ada","age":1,"tags":{"t":"u"}}]', 'x[0].tags.t: expected int, got "u" (str)'),
    ("Picky", b'{"price":-1}', 'x: expected Picky, got {"price":-1} (dict): price is negative'),
    ("Picky", b'{"price":101}', "x: expected Picky, got {\"price\":101} (dict): KeyError: 'too dear'"),
    ("Pair", b"[1]", "x: expected list of length 2, got [1] (list)"),
    ("Annotated[int, msgspec.Meta(ge=1)]", b"0", "x: expected int >= 1, got 0 (int)"),
    ("Annotated[str, msgspec.Meta(pattern='^a$')]", b'"b"', "x: expected str matching regex '^a$', got \"b\" (str)"),
    (
        "datetime.datetime",
        b'"soon"',
        'x: expected datetime, got "soon" (str): invalid RFC3339 encoded datetime',
    ),
    ("str", b'["' + b"y" * 200 + b'"]', 'x: expected str, got ["' + "y" * 75 + "... (list)"),
]


@pytest.mark.parametrize(("hint", "data", "text"), MISMATCHES)
def test_a_mismatch_tells_what_was_expected_and_what_came(define, hint, data, text):
    with pytest.raises(InputError) as caught:
        one(define, hint).decode(b'{"x":' + data + b"}")
    assert str(caught.value) == f"wrong input for shop.f: {text}"
    assert [f"{parameter}: {problem}" for parameter, problem in caught.value.problems] == [text]


@pytest.mark.parametrize(
    ("hint", "data", "text"),
    [
        ("Cat | Dog", b'{"name":"Tom"}',
         'expected Cat | Dog, got {"name":"Tom"} (dict): object missing required field `type`'),
        ("Annotated[list[int] | None, annotated_types.MinLen(1)]", b"[]",
         "expected list[int] of length >= 1, got [] (list)"),
        ("OddPair", b'["a",1,2]', 'expected OddPair, got ["a",1,2] (list)'),
    ],
)  # fmt: skip
def test_what_no_part_alone_has_wrong_is_told(define, hint, data, text):
    with pytest.raises(InputError) as caught:
        Inputs(action_of(define, hint)).decode(b'{"x":' + data + b"}")
    assert str(caught.value) == f"wrong input for shop.f: x: {text}"


def test_all_that_is_wrong_is_told_together():
    with pytest.raises(InputError) as caught:
        inputs.decode(b'{"amount":"ten","amuont":3,"note":5,"colour":1}')
    assert caught.value.problems == (
        ("amount", 'expected int, got "ten" (str)'),
        ("email", "missing, expected str"),
        ("note", "expected str | None, got 5 (int)"),
        ("amuont", "unknown parameter, did you mean amount?"),
        ("colour", "unknown parameter, known are amount, email, currency, note"),
    )
    assert str(caught.value) == (
        "wrong input for pay:\n"
        '  amount: expected int, got "ten" (str)\n'
        "  email: missing, expected str\n"
        "  note: expected str | None, got 5 (int)\n"
        "  amuont: unknown parameter, did you mean amount?\n"
        "  colour: unknown parameter, known are amount, email, currency, note"
    )
    assert caught.value.retryable is False


def test_an_action_without_parameters_knows_none():
    assert Inputs(nothing).decode(b" {} ") == {}
    with pytest.raises(InputError, match="wrong input for nothing: x: unknown parameter, the action has none"):
        Inputs(nothing).decode(b'{"x":1}')


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "not valid JSON: input data was truncated"),
        (b"{'a': 1}", "not valid JSON: object keys must be strings (byte 1)"),
        (b'{"amount":1} x', "not valid JSON: trailing characters (byte 14)"),
        (b"\xff", "not valid JSON: invalid character (byte 0)"),
        (b'{"email":"\xff"}', "not valid JSON: "),
        (b'{"amount":NaN}', "not valid JSON: invalid character (byte 10); NaN and Infinity are not JSON"),
        (b'{"amount":-Infinity}', "NaN and Infinity are not JSON"),
        (b'{"amount":1e999}', "not valid JSON: number out of range"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[1]", "expected a JSON object with the parameters, got [1] (list)"),
        (b"null", "expected a JSON object with the parameters, got null"),
        (b'"amount"', 'expected a JSON object with the parameters, got "amount" (str)'),
        (b'{"email":"' + b"x" * 7 * 1024 * 1024 + b'"}', "7.0 MB, limit 6 MB"),
    ],
)
def test_what_is_no_json_object_is_refused(data, text):
    with pytest.raises(InputError) as caught:
        inputs.decode(data)
    assert str(caught.value).startswith("wrong input for pay: ")
    assert text in str(caught.value)
    assert caught.value.problems[0][0] == ""


def test_defaults_are_the_functions_own():
    assert inputs.decode(b'{"email":"a@b","amount":1}') == {"amount": 1, "email": "a@b"}
    assert inputs.decode(b'{"email":"a@b","amount":1,"note":null}') == {"amount": 1, "email": "a@b", "note": None}


def test_unknown_parameters_go_where_they_are_taken():
    assert Inputs(open_ended).decode(b'{"first":1,"a":[1],"self":2}') == {"first": 1, "a": [1], "self": 2}
    assert Inputs(open_numbers).decode(b'{"a":1,"class":2.5}') == {"a": 1.0, "class": 2.5}
    with pytest.raises(InputError) as caught:
        Inputs(open_numbers).decode(b'{"a":"b","c":null}')
    assert caught.value.problems == (("a", 'expected float, got "b" (str)'), ("c", "expected float, got null"))


def test_names_that_a_struct_has_already():
    data = '{"self":1,"__struct_fields__":"s","cls":2,"größe":5,"p0":6,"__init__":true}'.encode()
    assert Inputs(odd_names).decode(data) == {
        "self": 1,
        "__struct_fields__": "s",
        "cls": 2,
        "größe": 5,
        "p0": 6,
        "__init__": True,
    }


def test_without_hints_any_json_is_taken():
    assert Inputs(untyped).decode(b'{"a":null,"c":{"d":1}}') == {"a": None, "c": {"d": 1}}


def test_hints_may_refer_to_what_stands_below():
    below = Inputs(later)
    assert below.decode(b'{"x":{"value":1}}') == {"x": Below(1)}
    assert Result(later).decode(b'{"value":1}') == Below(1)


@pytest.mark.parametrize("hint", ["int", "str", "list[int]", "User", "'int'", "Any"])
def test_a_default_of_none_makes_it_optional(define, hint):
    found = one(define, hint, " = None")
    assert found.decode(b'{"x":null}') == {"x": None}
    assert found.decode(b"{}") == {}


@pytest.mark.parametrize(
    ("hint", "message"),
    [
        ("'Nowhere'", "the type of parameter 'x', Nowhere, cannot be resolved (name 'Nowhere' is not defined); import"),
        ("'list[Nowhere]'", "the type of parameter 'x', list[Nowhere], cannot be resolved"),
        ("'1 +'", "the type of parameter 'x', 1 +, cannot be resolved"),
        ("Odd", "parameter 'x' has the type Odd, which JSON cannot carry (Odd is not a type that"),
        ("list[Odd] | None", "parameter 'x' has the type list[Odd] | None, which JSON cannot carry (Odd is"),
        ("dict[str, tuple[int, Odd]]", "(Odd is not a type that JSON values are converted to); use a type that it can"),
        ("complex", "(complex is not a type that"),
        ("typing.Callable[[int], str]", "the type Callable[[int], str], which JSON cannot carry (Callable is"),
        ("Union[datetime.datetime, Odd]", "the type datetime | Odd, which JSON cannot carry (Odd is not a type that"),
        ("dict[bool, int]", "(the keys of JSON are text, which does not become bool); use a type that it can"),
        ("Holder", "parameter 'x' has the type Holder, which JSON cannot carry (Odd is not a type"),
        ("Broken", "has the type Broken, which JSON cannot carry (name 'Nope' is not defined)"),
    ],
)
def test_hints_that_json_cannot_fill_are_refused(define, hint, message):
    holder = dataclasses.make_dataclass("Holder", [("odd", Odd)])
    broken = dataclasses.make_dataclass("Broken", [("nope", "Nope")])
    with pytest.raises(DefinitionError) as caught:
        one(define, hint, Holder=holder, Broken=broken)
    assert str(caught.value).startswith("f (/shop.py, line 1): ")
    assert message in str(caught.value)


def test_a_hint_of_kwargs_is_checked_too(define):
    with pytest.raises(DefinitionError, match="parameter 'rest' has the type Odd"):
        Inputs(define("@Action(description='d')\ndef f(**rest: Odd): ...", Odd=Odd)["f"])


def test_parameters_describe_themselves(define):
    source = (
        "@Action(description='d')\n"
        "def f(a: int, b: str, c: Optional[str], d, e: 'list[int]' = [1], f: dict = {'k': None}, g: str = None, *,\n"
        "      h: object = object(), i: UserId = 'u', j: Annotated[str, 'doc'] = '',\n"
        "      k: Literal['x'] = 'x', **rest): ..."
    )
    found = Inputs(define(source, Optional=Optional, UserId=UserId, Annotated=Annotated, Literal=Literal)["f"])
    assert [tuple(parameter.values()) for parameter in found.parameters()] == [
        ("a", "int", True, None, "never"),
        ("b", "str", True, None, "always"),
        ("c", "str | None", True, None, "unless_null"),
        ("d", "Any", True, None, "never"),
        ("e", "list[int]", False, b"[1]", "never"),
        ("f", "dict", False, b'{"k":null}', "never"),
        ("g", "str | None", False, b"null", "unless_null"),
        ("h", "object", False, None, "never"),
        ("i", "str", False, b'"u"', "always"),
        ("j", "str", False, b'""', "always"),
        ("k", "Literal['x']", False, b'"x"', "never"),
    ]
    assert list(found.parameters()[0]) == ["name", "type", "required", "default", "text"]
    assert found.accepts_unknown
    assert not inputs.accepts_unknown


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        (typing.List[int], "list[int]"),  # noqa: UP006
        (typing.Dict[str, typing.Any], "dict[str, Any]"),  # noqa: UP006
        (tuple[int, ...], "tuple[int, ...]"),
        (tuple[()], "tuple"),
        (Optional[User], "User | None"),  # noqa: UP045
        (int | None, "int | None"),
        (datetime.datetime, "datetime"),
        (typing.Callable[[int], str], "Callable[[int], str]"),
        (Annotated[list[UserId], 1], "list[str]"),
        (None, "None"),
    ],
)
def test_types_read_as_people_write_them(hint, text):
    from ziet._type_text import type_text

    assert type_text(hint) == text


class TestCalls:
    def test_arguments_are_in_the_order_of_the_signature(self):
        data = inputs.encode_call((5,), {"note": None, "email": "a@b"})
        assert data == b'{"amount":5,"email":"a@b","note":null}'
        assert data == inputs.encode_call((), {"email": "a@b", "note": None, "amount": 5})

    def test_equal_arguments_give_equal_bytes(self):
        # Numbers that fall on one place of the set's table, so that it keeps them as they came.
        numbers, reverse = set(map(int, ("8", "0", "16"))), set(map(int, ("16", "0", "8")))
        assert list(numbers) != list(reverse)
        one_way = Inputs(untyped).encode_call((numbers, {"b": 1, "a": 2}), {})
        other_way = Inputs(untyped).encode_call((reverse, {"a": 2, "b": 1}), {})
        assert one_way == other_way

    def test_extra_arguments_come_last_and_sorted(self):
        assert Inputs(open_ended).encode_call((1,), {"z": 1, "größe": 2, "a": 3}) == (
            '{"first":1,"a":3,"größe":2,"z":1}'.encode()
        )

    def test_a_set_without_an_order_travels_too(self):
        assert Inputs(untyped).encode_call(({1, "a"},), {}) in (b'{"a":[1,"a"]}', b'{"a":["a",1]}')

    @pytest.mark.parametrize(
        ("args", "kwargs", "text"),
        [
            ((), {}, "pay() missing 2 required arguments: 'amount', 'email'"),
            ((1,), {}, "pay() missing 1 required argument: 'email'"),
            ((1, "a", "usd", "note"), {}, "pay() takes 3 positional arguments but 4 were given"),
            ((1, "a"), {"amount": 2}, "pay() got multiple values for argument 'amount'"),
            ((1, "a"), {"nite": 2}, "pay() got an unexpected keyword argument 'nite'"),
        ],
    )
    def test_wrong_arguments_are_told_like_python_does(self, args, kwargs, text):
        with pytest.raises(TypeError) as caught:
            inputs.encode_call(args, kwargs)
        assert str(caught.value) == text

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (
                Odd(),
                "'a' cannot travel there as JSON: a is an Odd: use a dict or a dataclass instead; untyped.local()",
            ),
            (
                [1, {"k": Odd()}],
                "'a' cannot travel there as JSON: a[1].k is an Odd: use a dict or a dataclass instead; untyped.local()",
            ),
            (float("nan"), "'a' cannot travel there as JSON: a is NaN"),
            (open_ended, "a is an ActionFunction"),
        ],
    )
    def test_what_cannot_travel_names_parameter_type_and_local(self, value, text):
        with pytest.raises(TypeError) as caught:
            Inputs(untyped).encode_call((value,), {})
        assert text in str(caught.value)

    def test_too_much_is_told(self):
        with pytest.raises(InputError, match=r"wrong input for pay: 7\.0 MB, limit 6 MB"):
            inputs.encode_call((1, "x" * 7 * 1024 * 1024), {})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(json_values)
def test_any_json_argument_arrives_as_it_was_sent(value):
    anything = Inputs(untyped)
    assert anything.decode(anything.encode_call((value,), {})) == {"a": value}


@given(st.dictionaries(st.sampled_from(["amount", "email", "currency", "note", "x", ""]), json_values))
def test_the_fast_and_the_thorough_way_agree(values):
    """Whatever comes, the struct takes it exactly when parameter by parameter nothing is wrong."""
    data = msgspec.json.encode(values)
    try:
        msgspec.json.decode(data, type=inputs._struct())
    except msgspec.ValidationError:
        with pytest.raises(InputError, match="wrong input for pay"):
            inputs._decode_each(data)
    else:
        assert inputs.decode(data) == inputs._decode_each(data)
