"""Every kind of annotation, from the decorator to the executor and back.

One project has an action for each annotation. A run calls them all: each call is a run of its own, in a process of its
own, whose input is made from JSON by the annotation and whose result comes back by it.
"""

from __future__ import annotations

import json
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

TAIL = '''

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
'''


def test_every_kind_of_annotation(ziet: Ziet) -> None:
    actions = [
        ONE.format(number=number, hint=case.hint, good=", ".join(case.good), bad=json.dumps(case.bad))
        for number, case in enumerate(CASES)
    ]
    shapes = (PROJECTS / "types" / "shapes.py").read_text("utf-8")
    project = ziet.write({"kinds.py": HEAD + "".join(actions) + TAIL, "shapes.py": shapes, "ziet.toml": ""})
    ended = project.run("kinds.all_types", "--json")
    assert ended.status == 0, ended
    output = ended.document["output"]
    print(*output["changed"],sep="\n")
    for case, bad in zip(CASES, output["refused"]):
        for v,(a,b) in zip(case.bad,bad): print(case.hint,'|',v,'|',a,'|',b)
    assert 0
