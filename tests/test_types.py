# ruff: noqa: E501 - the texts of errors are as long as they are
"""Every kind of annotation, from the decorator to the executor and back.

One project has an action for each annotation. A run calls them all: each call is a run of its own, in a process of its
own, whose input is made from JSON by the annotation and whose result comes back by it.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from inline_snapshot import snapshot

from program import PROJECTS, Ziet


class Case(NamedTuple):
    """An annotation, with values that fit it as Python expressions, and JSON values that do not."""

    hint: str
    good: list[str]
    bad: list[Any]


CASES = [
    Case("int", ["3", "10**30"], ["x", 1.5, True]),
    Case("float", ["1.5", "2.0"], ["nan"]),
    Case("bool", ["True"], [1]),
    Case("str", ["'é'"], [5]),
    Case("None", ["None"], [0]),
    Case("Any", ["{'a': [1, None]}", "'x'"], []),
    Case("object", ["[1]", "'x'"], []),
    Case("bytes", ["b'hi'", "bytes(range(256))"], ["a"]),
    Case("list", ["[1, 'a']"], [{}]),
    Case("list[int]", ["[1, 2]", "[]"], [[1, "a", None]]),
    Case("dict", ["{'a': [1]}"], [[]]),
    Case("dict[str, float]", ["{'a b': 1.0}"], [{"a b": "x", "c": None}]),
    Case("dict[int, str]", ["{1: 'a'}"], [{"one": "a"}]),
    Case("dict[dt.date, int]", ["{dt.date(2024, 5, 1): 1}"], [{"soon": 1}]),
    Case("dict[Path, Path]", ["{Path('a'): Path('b')}"], [{"a": 1}]),
    Case("tuple[int, str]", ["(1, 'a')"], [[1], ["a", "b"]]),
    Case("tuple[Path, ...]", ["(Path('a'), Path('b'))", "()"], [["a", 1]]),
    Case("tuple", ["(1, 'a')"], [5]),
    Case("set[int]", ["{1, 2}"], [[1, "a"]]),
    Case("set[Path]", ["{Path('a')}"], [[1]]),
    Case("frozenset[str]", ["frozenset(['a'])"], ["a"]),
    Case("Sequence[int]", ["[1]"], [["a"]]),
    Case("Mapping[str, Path]", ["{'a': Path('b')}"], [{"a": None}]),
    Case("Iterable[Path]", ["[Path('a')]"], [[1]]),
    Case("collections.deque[int]", ["collections.deque([1, 2])"], [["a"]]),
    Case("collections.OrderedDict[str, int]", ["collections.OrderedDict(a=1, b=2)"], [{"b": "x"}]),
    Case("collections.defaultdict[str, list[int]]", ["collections.defaultdict(list, a=[1])"], [{"a": 1}]),
    Case("collections.Counter[str]", ["collections.Counter('aab')"], [{"a": "x"}]),
    Case("Optional[int]", ["None", "1"], ["a"]),
    Case("int | str | None", ["1", "'a'", "None"], [1.5]),
    Case("dt.datetime | str", ["NOON", "'x'"], [3]),
    Case("str | dt.date | dt.datetime", ["dt.date(2024, 5, 1)", "NOON", "'x'"], [3]),
    Case("float | int | Decimal | UUID | str", ["3", "3.0", "Decimal('1.10')", "UUID(int=1)", "'x'"], [None]),
    Case("list[int] | set[str]", ["[1]", "{'a'}"], [[None], 5]),
    Case("User | Point", ["User('Ada', ['a@b'])", "Point(1.0, 2.0)"], [{"z": 1}, 3]),
    Case("Job | User | None", ["Job(Path('a'))", "User('Ada')", "None"], [{"name": 5}]),
    Case("Size | int", ["Size.LARGE", "3"], ["x"]),
    Case("Unit | str", ["Unit.KILO", "'x'"], [1]),
    Case("Path | None", ["Path('a')", "None"], [1]),
    Case("Path | int", ["Path('a')", "3"], [[]]),
    Case("Literal['a', 1, None]", ["'a'", "1", "None"], ["b"]),
    Case("Literal[Colour.RED, 'blue']", ["Colour.RED", "'blue'"], ["green"]),
    Case("Literal['a'] | Path", ["'a'", "Path('b')"], [1]),
    Case("Colour", ["Colour.RED"], ["green"]),
    Case("list[Colour]", ["[Colour.RED, Colour.BLUE]"], [["red", "green"]]),
    Case("Size", ["Size.LARGE"], [3]),
    Case("Rights", ["Rights.READ | Rights.WRITE"], ["READ"]),
    Case("Ratio", ["Ratio.HALF", "Ratio.BOTH"], [0.25]),
    Case("dt.datetime", ["NOON", "dt.datetime(2024, 5, 1, 12, 30, 0, 5)"], ["soon"]),
    Case("dt.date", ["dt.date(2024, 5, 1)"], ["2024-13-01"]),
    Case("dt.time", ["dt.time(12, 30)"], ["noon"]),
    Case("dt.timedelta", ["dt.timedelta(days=1, seconds=1.5)"], ["1h"]),
    Case("Decimal", ["Decimal('1.10')"], ["x"]),
    Case("UUID", ["UUID(int=1)"], ["x"]),
    Case("Path", ["Path('a/b')"], [5]),
    Case("pathlib.PurePosixPath", ["pathlib.PurePosixPath('/a')"], [None]),
    Case("pathlib.PureWindowsPath", ["pathlib.PureWindowsPath(r'C:\\a')"], [None]),
    Case("UserId", ["'u1'"], [1]),
    Case("Folder", ["Path('a')"], [1]),
    Case("User", ["User('Ada')", "User('Ada', ['a@b'])"], [{"name": 1, "emails": ["a", "b", 3]}, {}, "Ada"]),
    Case("list[User]", ["[User('Ada')]"], [[{"name": "Ada"}, {"name": None}]]),
    Case("Job", ["Job(Path('a'), NOON, [Job(Path('b'))])"], [{"folder": "a", "after": [{"folder": 1, "due": 2}]}]),
    Case("Even", ["Even(2)"], [{"number": 3}]),
    Case("Scaled", ["Scaled(3)"], [{"number": "x"}]),
    Case("Tree", ["Tree(1, [Tree(2)])"], [{"value": 1, "children": [{"value": "x"}]}]),
    Case("Upload", ["Upload(Path('a'), dt.timedelta(seconds=5))"], [{"targetPath": 1, "target_path": "a"}]),
    Case("Circle | Square", ["Circle(1.0)", "Square(2.0)"], [{"type": "Oval"}]),
    Case("Row", ["Row(pathlib.PurePosixPath('a'), 2)"], [["a", "b"]]),
    Case("Part", ["Part(1)"], [{"number": 0}]),
    Case("Cleaned", ["Cleaned(' a ')"], [{"text": 1}]),
    Case("Movie", ["{'title': 'x'}", "{'title': 'x', 'year': 1, 'file': Path('a')}"], [{"year": "x", "file": 1}]),
    Case("Options", ["{}", "{'since': dt.date(2024, 5, 1)}"], [{"depth": "x"}]),
    Case("Pair", ["Pair(1)"], [["x"], []]),
    Case("Move", ["Move(Path('a'), Path('b'))"], [["a", 1]]),
    Case("Box[Path]", ["Box(Path('a'))"], [{"content": 1}]),
    Case("Box[list[Size]]", ["Box([Size.SMALL])"], [{"content": [1, 5]}]),
    Case("Page[dt.date | str]", ["Page([dt.date(2024, 5, 1), 'x'])"], [{"items": ["x", 1]}]),
    Case("Annotated[int, msgspec.Meta(ge=1, le=9)]", ["1"], [0]),
    Case("Annotated[int, at.Gt(0), 'counts']", ["1"], [0]),
    Case("Annotated[str, at.Len(2, 3)]", ["'ab'"], ["a"]),
    Case("Annotated[Decimal, at.Ge(0)]", ["Decimal('0.5')"], ["-1"]),
    Case("Annotated[float | None, at.Interval(gt=0, lt=1)]", ["0.5", "None"], [1.0]),
    Case("Annotated[str, at.Predicate(str.islower)]", ["'a'"], ["A"]),
    Case("Annotated[list[Path], at.MinLen(1)]", ["[Path('a')]"], [[], [1]]),
    Case("Annotated[dt.datetime, at.Timezone(...)]", ["NOON"], ["2024-05-01T12:00:00"]),
    Case("Annotated[int, pydantic.Field(gt=0, examples=[5])]", ["5"], [-1, "5"]),
    Case("Annotated[list[Tree], pydantic.Field(min_length=1)]", ["[Tree(1)]"], [[]]),
    Case("Annotated[Cat | Dog, pydantic.Field(discriminator='kind')]", ["Dog(good=True)"], [{"kind": "cow"}]),
    Case("pydantic.PositiveInt", ["1"], [0]),
    Case("Item", ["Item(sku='a', qty=1)"], [{"sku": 1, "qty": 0}]),
    Case(
        "Order",
        ["Order(orderId=1, items=[Item(sku='a', qty=1)], placed=dt.datetime(2024, 5, 1), at=Point(1.0))"],
        [{"orderId": "x", "items": [{"sku": "a", "qty": -1}]}],
    ),
    Case("list[Item]", ["[Item(sku='a', qty=1)]"], [[{"sku": "a", "qty": 1}, {"qty": 0}]]),
    Case("Cat | Dog", ["Cat(lives=9)", "Dog(good=True)"], [{"lives": "x"}]),
    Case("Wrapper[dict[str, Path]]", ["Wrapper[dict[str, Path]](inner={'a': Path('b')})"], [{"inner": {"a": 1}}]),
    Case("Price", ["Price(Decimal('1.5'))"], [{"amount": "-1"}]),
    Case(
        "Basket",
        ["Basket(Order(orderId=1, items=[]), {'a': Price(Decimal('1'))})"],
        [{"order": {"orderId": 1, "items": [{}]}, "prices": {"a": {"amount": -1}}}],
    ),
]

HEAD = """\
from __future__ import annotations

import asyncio, collections, datetime as dt, json, pathlib, typing
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Optional
from uuid import UUID

import annotated_types as at
import msgspec
import pydantic
from ziet import Action

from shapes import *

NOON = dt.datetime(2024, 5, 1, 12, tzinfo=dt.timezone.utc)


def shown(value):
    return type(value).__qualname__, repr(value)


# Of each annotation the action that gives back what it got, one that gives back anything, and good and bad values.
CASES = []
"""

ONE = """

@Action(description="Gives back what it got")
async def echo_{number}(value: {hint}) -> {hint}:
    assert shown(value) in [shown(good) for good in CASES[{number}][2]], f"it got {{shown(value)}}"
    return value


@Action(description="Gives back what may not fit")
async def give_{number}(value: Any) -> {hint}:
    return value


CASES.append((echo_{number}, give_{number}, [{good}], json.loads({bad!r})))
"""

TAIL = """

@Action(description="Calls them all")
async def all_types() -> dict[str, Any]:
    few = asyncio.Semaphore(8)

    async def told(action, value):
        async with few:
            try:
                return shown(await action(value))
            except Exception as error:
                return f"{type(error).__name__}: {error}"

    async def check(echo, give, good, bad):
        changed = [f"{shown(value)} came back as {back}" for value in good if (back := await told(echo, value)) != shown(value)]
        return changed, [(await told(echo, value), await told(give, value)) for value in bad]

    found = await asyncio.gather(*(check(*case) for case in CASES))
    return {"changed": [text for changed, _ in found for text in changed], "refused": [bad for _, bad in found]}
"""


REFUSED = snapshot(
    {
        "int": [
            'value: expected int, got "x" (str)',
            "value: expected int, got 1.5 (float)",
            "value: expected int, got true (bool)",
        ],
        "float": ['value: expected float, got "nan" (str)'],
        "bool": ["value: expected bool, got 1 (int)"],
        "str": ["value: expected str, got 5 (int)"],
        "None": ["value: expected None, got 0 (int)"],
        "bytes": ['value: expected bytes, got "a" (str): invalid base64 encoded string'],
        "list": ["value: expected list, got {} (dict)"],
        "list[int]": ['value[1]: expected int, got "a" (str)', "value[2]: expected int, got null"],
        "dict": ["value: expected dict, got [] (list)"],
        "dict[str, float]": ['value["a b"]: expected float, got "x" (str)', "value.c: expected float, got null"],
        "dict[int, str]": ['value (a key): expected int, got "one" (str)'],
        "dict[dt.date, int]": ['value (a key): expected date, got "soon" (str): invalid RFC3339 encoded date'],
        "dict[Path, Path]": ["value.a: expected Path, got 1 (int)"],
        "tuple[int, str]": [
            "value: expected list of length 2, got [1] (list)",
            'value[0]: expected int, got "a" (str)',
        ],
        "tuple[Path, ...]": ["value[1]: expected Path, got 1 (int)"],
        "tuple": ["value: expected tuple, got 5 (int)"],
        "set[int]": ['value[1]: expected int, got "a" (str)'],
        "set[Path]": ["value[0]: expected Path, got 1 (int)"],
        "frozenset[str]": ['value: expected frozenset[str], got "a" (str)'],
        "Sequence[int]": ['value[0]: expected int, got "a" (str)'],
        "Mapping[str, Path]": ["value.a: expected Path, got null"],
        "Iterable[Path]": ["value[0]: expected Path, got 1 (int)"],
        "collections.deque[int]": ['value[0]: expected int, got "a" (str)'],
        "collections.OrderedDict[str, int]": ['value.b: expected int, got "x" (str)'],
        "collections.defaultdict[str, list[int]]": ["value.a: expected list[int], got 1 (int)"],
        "collections.Counter[str]": ['value.a: expected int, got "x" (str)'],
        "Optional[int]": ['value: expected int | None, got "a" (str)'],
        "int | str | None": ["value: expected int | str | None, got 1.5 (float)"],
        "dt.datetime | str": ["value: expected datetime | str, got 3 (int)"],
        "str | dt.date | dt.datetime": ["value: expected str | date | datetime, got 3 (int)"],
        "float | int | Decimal | UUID | str": ["value: expected float | int | Decimal | UUID | str, got null"],
        "list[int] | set[str]": [
            "value: expected list[int] | set[str], got [null] (list); as list[int]: [0]: expected int, got null; as set[str]: [0]: expected str, got null",
            "value: expected list[int] | set[str], got 5 (int)",
        ],
        "User | Point": [
            'value: expected User | Point, got {"z":1} (dict); as User: name: missing, expected str; as Point: x: missing, expected float',
            "value: expected User | Point, got 3 (int)",
        ],
        "Job | User | None": [
            'value: expected Job | User | None, got {"name":5} (dict); as Job: folder: missing, expected Path; as User: name: expected str, got 5 (int)'
        ],
        "Size | int": ['value: expected Size | int, got "x" (str)'],
        "Unit | str": ["value: expected Unit | str, got 1 (int)"],
        "Path | None": ["value: expected Path | None, got 1 (int)"],
        "Path | int": ["value: expected Path | int, got [] (list)"],
        "Literal['a', 1, None]": ['value: expected one of "a", 1, null, got "b" (str)'],
        "Literal[Colour.RED, 'blue']": ['value: expected one of "red", "blue", got "green" (str)'],
        "Literal['a'] | Path": ["value: expected Literal['a'] | Path, got 1 (int)"],
        "Colour": ['value: expected one of "red", "blue", got "green" (str)'],
        "list[Colour]": ['value[1]: expected one of "red", "blue", got "green" (str)'],
        "Size": ["value: expected one of 1, 2, got 3 (int)"],
        "Rights": ['value: expected Rights, got "READ" (str)'],
        "Ratio": ["value: expected one of 0.5, [1,2], got 0.25 (float)"],
        "dt.datetime": ['value: expected datetime, got "soon" (str): invalid RFC3339 encoded datetime'],
        "dt.date": ['value: expected date, got "2024-13-01" (str): invalid RFC3339 encoded date'],
        "dt.time": ['value: expected time, got "noon" (str): invalid RFC3339 encoded time'],
        "dt.timedelta": ['value: expected timedelta, got "1h" (str): invalid ISO8601 duration'],
        "Decimal": ['value: expected Decimal, got "x" (str): invalid decimal string'],
        "UUID": ['value: expected UUID, got "x" (str): invalid UUID'],
        "Path": ["value: expected Path, got 5 (int)"],
        "pathlib.PurePosixPath": ["value: expected PurePosixPath, got null"],
        "pathlib.PureWindowsPath": ["value: expected PureWindowsPath, got null"],
        "UserId": ["value: expected str, got 1 (int)"],
        "Folder": ["value: expected Path, got 1 (int)"],
        "User": [
            "value.name: expected str, got 1 (int)",
            "value.emails[2]: expected str, got 3 (int)",
            "value.name: missing, expected str",
            'value: expected User, got "Ada" (str)',
        ],
        "list[User]": ["value[1].name: expected str, got null"],
        "Job": [
            "value.after[0].folder: expected Path, got 1 (int)",
            "value.after[0].due: expected datetime | str, got 2 (int)",
        ],
        "Even": ['value: expected Even, got {"number":3} (dict): it is odd'],
        "Scaled": ['value.number: expected int, got "x" (str)'],
        "Tree": ['value.children[0].value: expected int, got "x" (str)'],
        "Upload": ["value.targetPath: expected Path, got 1 (int)", "value.target_path: unknown field"],
        "Circle | Square": ['value: expected Circle | Square, got {"type":"Oval"} (dict): invalid value \'Oval\''],
        "Row": ['value[1]: expected int, got "b" (str)'],
        "Part": ["value: expected Part, got {\"number\":0} (dict): 'number' must be > 0: 0"],
        "Cleaned": ["value.text: expected str, got 1 (int)"],
        "Movie": [
            'value.year: expected int, got "x" (str)',
            "value.file: expected Path, got 1 (int)",
            "value.title: missing, expected str",
        ],
        "Options": ['value.depth: expected int, got "x" (str)'],
        "Pair": ['value[0]: expected int, got "x" (str)', "value: expected list of length 1 to 2, got [] (list)"],
        "Move": ["value[1]: expected Path, got 1 (int)"],
        "Box[Path]": ["value.content: expected Path, got 1 (int)"],
        "Box[list[Size]]": ["value.content[1]: expected one of 1, 2, got 5 (int)"],
        "Page[dt.date | str]": ["value.items[1]: expected date | str, got 1 (int)"],
        "Annotated[int, msgspec.Meta(ge=1, le=9)]": ["value: expected int >= 1, got 0 (int)"],
        "Annotated[int, at.Gt(0), 'counts']": ["value: expected int >= 1, got 0 (int)"],
        "Annotated[str, at.Len(2, 3)]": ['value: expected str of length >= 2, got "a" (str)'],
        "Annotated[Decimal, at.Ge(0)]": ['value: expected Decimal >= 0, got "-1" (str)'],
        "Annotated[float | None, at.Interval(gt=0, lt=1)]": ["value: expected float < 1, got 1.0 (float)"],
        "Annotated[str, at.Predicate(str.islower)]": ['value: expected str that fulfils islower, got "A" (str)'],
        "Annotated[list[Path], at.MinLen(1)]": [
            "value: expected list of length >= 1, got [] (list)",
            "value[0]: expected Path, got 1 (int)",
        ],
        "Annotated[dt.datetime, at.Timezone(...)]": [
            'value: expected datetime with a timezone component, got "2024-05-01T12:00:00" (str)'
        ],
        "Annotated[int, pydantic.Field(gt=0, examples=[5])]": [
            "value: Input should be greater than 0, got -1 (int)",
            'value: Input should be a valid integer, got "5" (str)',
        ],
        "Annotated[list[Tree], pydantic.Field(min_length=1)]": ["value: expected list of length >= 1, got [] (list)"],
        "Annotated[Cat | Dog, pydantic.Field(discriminator='kind')]": [
            "value: Input tag 'cow' found using 'kind' does not match any of the expected tags: 'cat', 'dog', got {\"kind\":\"cow\"} (dict)"
        ],
        "pydantic.PositiveInt": ["value: expected int >= 1, got 0 (int)"],
        "Item": [
            "value.sku: Input should be a valid string, got 1 (int)",
            "value.qty: Input should be greater than 0, got 0 (int)",
        ],
        "Order": [
            'value.orderId: Input should be a valid integer, unable to parse string as an integer, got "x" (str)',
            "value.items[0].qty: Input should be greater than 0, got -1 (int)",
        ],
        "list[Item]": ["value[1].sku: Field required", "value[1].qty: Input should be greater than 0, got 0 (int)"],
        "Cat | Dog": [
            'value: expected Cat | Dog, got {"lives":"x"} (dict); as Cat: lives: Input should be a valid integer, unable to parse string as an integer, got "x" (str); as Dog: good: Field required'
        ],
        "Wrapper[dict[str, Path]]": [
            "value.inner.a: Input is not a valid path for <class 'pathlib.Path'>, got 1 (int)"
        ],
        "Price": ['value.amount: Input should be greater than or equal to 0, got "-1" (str)'],
        "Basket": [
            "value.order.items[0].sku: Field required",
            "value.order.items[0].qty: Field required",
            "value.prices.a.amount: Input should be greater than or equal to 0, got -1 (int)",
        ],
    }
)


def test_every_kind_of_annotation(ziet: Ziet) -> None:
    actions = [
        ONE.format(number=number, hint=case.hint, good=", ".join(case.good), bad=json.dumps(case.bad))
        for number, case in enumerate(CASES)
    ]
    shapes = (PROJECTS / "annotations" / "shapes.py").read_text("utf-8")
    project = ziet.write({"kinds.py": HEAD + "".join(actions) + TAIL, "shapes.py": shapes, "ziet.toml": ""})
    output = project.run("kinds.all_types", "--json").document["output"]
    assert output["changed"] == []
    refused: dict[str, list[str]] = {}
    for case, texts in zip(CASES, output["refused"], strict=True):
        for of_input, of_result in texts:
            told = of_input.partition(": wrong input for ")[2].partition(":")[2]
            # A result is told by the same words as an input, and where nothing is allowed also what to do.
            assert of_result.startswith("OutputError: "), (case, of_result)
            same = re.sub(r"^( +)value", r"\1result", told, flags=re.MULTILINE)
            instead = "; return nothing, or write the annotation" if case.hint == "None" else ""
            assert of_result.partition(" does not allow:")[2] == same + instead
            refused.setdefault(case.hint, []).extend(line.strip() for line in told.strip().split("\n"))
    assert refused == REFUSED


THINGS = """\
from __future__ import annotations

import asyncio, collections, dataclasses, io
from typing import Any

import numpy as np
import pandas as pd
import pydantic
from ziet import Action, memory


@dataclasses.dataclass
class Row:
    when: Any


class Custom: ...


class Model(pydantic.BaseModel):
    value: float


async def coroutine(): ...


@pydantic.dataclasses.dataclass
class Checked:
    value: Any


def things():
    waiting = coroutine()
    waiting.close()
    return [
        np.int64(1), np.bool_(True), np.array([1]), np.datetime64("2024-05-01"), np.timedelta64(1, "s"), np.complex64(1j),
        pd.Timestamp("2024-05-01"), pd.NaT, pd.NA, pd.Timedelta("1s"), pd.DataFrame({"a": [1]}), pd.Series([1]),
        pd.Index([1]), pd.Period("2024-05"), pd.Categorical(["a"]), 1j, {frozenset([1]): 1}, {None: 1}, io.StringIO(), open,
        things, Custom.__init__, (number for number in [1]), waiting, asyncio, ValueError("x"), Custom(), Custom, range(3),
        {}.keys(), collections.UserDict(a=1), float("nan"), [float("-inf")], Model(value=float("nan")),
        Checked(value=Model(value=float("nan"))), Row(Custom()),
    ]


@Action(description="Takes anything")
def take(order: Any) -> None: ...


@Action(description="Returns what is not JSON")
async def give(number: int):
    return {"rows": [0, Row(things()[number])]}


@Action(description="Tries all of them everywhere")
async def all_things() -> list[list[str]]:
    few = asyncio.Semaphore(8)

    async def told(number, thing):
        texts = []
        try:
            memory.add(key="k", value={"rows": [0, Row(thing)]})
        except ValueError as error:
            texts.append(str(error))
        try:
            take({"rows": [0, Row(thing)]})
        except TypeError as error:
            texts.append(str(error))
        async with few:
            try:
                await give(number)
            except Exception as error:
                texts.append(str(error))
        return texts

    return await asyncio.gather(*(told(number, thing) for number, thing in enumerate(things())))
"""


def test_what_is_not_json_is_told_with_its_place_and_what_to_do(ziet: Ziet) -> None:
    project = ziet.write({"things.py": THINGS, "ziet.toml": ""})
    told: list[str] = []
    for in_memory, in_argument, in_result in project.run("things.all_things", "--json").document["output"]:
        of_result = in_result.removeprefix("OutputError: ").removeprefix(
            "things.give returned a value that is not JSON: "
        )
        assert of_result.startswith("result.rows[1].when")
        text = of_result.removeprefix("result.rows[1].when")
        assert in_memory == f'memory key "k": the value is not JSON: value.rows[1].when{text}'
        assert f" argument 'order' cannot travel there as JSON: order.rows[1].when{text};" in in_argument
        told.append(text.strip())
    assert told == snapshot(
        [
            "is a numpy.int64: use .item()",
            "is a numpy.bool: use .item()",
            "is a numpy.ndarray: use .tolist()",
            "is a numpy.datetime64: use str(...) of it, or .astype('datetime64[us]').item() for a datetime",
            "is a numpy.timedelta64: use .astype('timedelta64[us]').item() for a timedelta",
            "is a numpy.complex64: use [float(x.real), float(x.imag)], or str(...) of it",
            "is a pandas.Timestamp: use .isoformat(), or .to_pydatetime() for a datetime",
            "is a pandas.NaTType: use None instead, such as None if pandas.isna(x) else x",
            "is a pandas.NAType: use None instead, such as None if pandas.isna(x) else x",
            "is a pandas.Timedelta: use .isoformat(), or .to_pytimedelta() for a timedelta",
            'is a pandas.DataFrame: use .to_dict("records")',
            "is a pandas.Series: use .to_list() or .to_dict()",
            "is a pandas.Index: use .to_list()",
            "is a pandas.Period: use str(...) of it",
            "is a pandas.Categorical: use .tolist()",
            "is a complex: use [x.real, x.imag], or str(...) of it",
            "has a key that is a frozenset: use a text",
            "has a key that is None: use a text",
            "is a StringIO: use what it contains, or its path",
            "is a builtin_function_or_method: call it, and use what it returns",
            "is a function: call it, and use what it returns",
            "is a wrapper_descriptor: use a dict or a dataclass instead",
            "is a generator: use list(...) of it",
            "is a coroutine: await it",
            "is a module: use what it contains",
            "is a ValueError: raise it, or use str(...) of it",
            "is a Custom: use a dict or a dataclass instead",
            "is a type: use its name, or make an instance of it",
            "is a range: use list(...) of it",
            "is a dict_keys: use list(...) of it",
            "is an UserDict: use dict(...) of it",
            "is NaN",
            "[0] is infinite",
            ".value is NaN",
            ".value.value is NaN",
            ".when is a Custom: use a dict or a dataclass instead",
        ]
    )


HOPELESS = [
    "Custom",
    "list[Custom] | None",
    "complex",
    "Iterator[int]",
    "dict[tuple[int, int], str]",
    "Nowhere",
    "Holder",
    "Annotated[Custom, pydantic.AfterValidator(str)]",
]


def test_what_json_cannot_carry_is_a_mistake_of_the_definition(ziet: Ziet) -> None:
    source = """\
from __future__ import annotations
import dataclasses
from typing import Annotated, Iterator
import pydantic
from ziet import Action
class Custom: ...
@dataclasses.dataclass
class Holder:
    custom: list[Custom]
"""
    for number, hint in enumerate(HOPELESS):
        source += f"@Action(description='d')\ndef given_{number}(value: {hint}): ...\n"
        source += f"@Action(description='d')\ndef returned_{number}() -> {hint}: ...\n"
    told = ziet.write({"made.py": source, "ziet.toml": ""})("actions").err
    lines = re.findall(r"DefinitionError: (.*)", told)
    assert [re.sub(r"/\S*/", "", line) for line in lines] == snapshot(
        [
            "given_0 (made.py, line 10): parameter 'value' has the type Custom, which JSON cannot carry (Custom is not a type that JSON values are converted to); use a type that it can, such as str, int, list, dict or a dataclass, and convert inside the function",
            "returned_0 (made.py, line 12): the return type is Custom, which JSON cannot carry (Custom is not a type that JSON values are converted to); use a type that it can, such as str, int, list, dict or a dataclass, and convert before the return",
            "given_1 (made.py, line 14): parameter 'value' has the type list[Custom] | None, which JSON cannot carry (Custom is not a type that JSON values are converted to); use a type that it can, such as str, int, list, dict or a dataclass, and convert inside the function",
            "returned_1 (made.py, line 16): the return type is list[Custom] | None, which JSON cannot carry (Custom is not a type that JSON values are converted to); use a type that it can, such as str, int, list, dict or a dataclass, and convert before the return",
            "given_2 (made.py, line 18): parameter 'value' has the type complex, which JSON cannot carry (complex is not a type that JSON values are converted to); use a type that it can, such as str, int, list, dict or a dataclass, and convert inside the function",
            "returned_2 (made.py, line 20): the return type is complex, which JSON cannot carry (complex is not a type that JSON values are converted to); use a type that it can, such as str, int, list, dict or a dataclass, and convert before the return",
            "given_3 (made.py, line 22): parameter 'value' has the type Iterator[int], which JSON cannot carry (Iterator is not a type that JSON values are converted to); use a type that it can, such as str, int, list, dict or a dataclass, and convert inside the function",
            "returned_3 (made.py, line 24): the return type is Iterator[int], which JSON cannot carry (Iterator is not a type that JSON values are converted to); use a type that it can, such as str, int, list, dict or a dataclass, and convert before the return",
            "given_4 (made.py, line 26): parameter 'value' has the type dict[tuple[int, int], str], which JSON cannot carry (the keys of JSON are text, which does not become tuple[int, int]); use a type that it can, such as str, int, list, dict or a dataclass, and convert inside the function",
            "returned_4 (made.py, line 28): the return type is dict[tuple[int, int], str], which JSON cannot carry (the keys of JSON are text, which does not become tuple[int, int]); use a type that it can, such as str, int, list, dict or a dataclass, and convert before the return",
            "given_5 (made.py, line 30): the type of parameter 'value', Nowhere, cannot be resolved (name 'Nowhere' is not defined); import or define what it names at the top of the module, not only for type checkers",
            "returned_5 (made.py, line 32): the return type, Nowhere, cannot be resolved (name 'Nowhere' is not defined); import or define what it names at the top of the module, not only for type checkers",
            "given_6 (made.py, line 34): parameter 'value' has the type Holder, which JSON cannot carry (Custom is not a type that JSON values are converted to); use a type that it can, such as str, int, list, dict or a dataclass, and convert inside the function",
            "returned_6 (made.py, line 36): the return type is Holder, which JSON cannot carry (Custom is not a type that JSON values are converted to); use a type that it can, such as str, int, list, dict or a dataclass, and convert before the return",
            "given_7 (made.py, line 38): parameter 'value' has the type Custom, which JSON cannot carry (Custom is not a type that JSON values are converted to); use a type that it can, such as str, int, list, dict or a dataclass, and convert inside the function",
            "returned_7 (made.py, line 40): the return type is Custom, which JSON cannot carry (Custom is not a type that JSON values are converted to); use a type that it can, such as str, int, list, dict or a dataclass, and convert before the return",
        ]
    )
