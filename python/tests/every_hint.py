# ruff: noqa: F401 - much is named only in the hints
"""Annotations of every kind, and the classes in them, for tests that take each of them through something."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import numbers
import pathlib
import uuid
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, Optional, TypedDict, TypeVar, Union

import annotated_types
import attrs
import msgspec
import pydantic
from msgspec import Meta
from typing_extensions import Doc, Required

T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 5


@dataclasses.dataclass
class Address:
    """Where somebody lives.

    Attributes:
        city: The town.
    """

    city: Annotated[str, Meta(min_length=1)]
    number: Annotated[int, Meta(ge=1)] = 1
    tags: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Person:
    name: str
    address: Address
    moved: dict[datetime.date, Address] | None = None


@dataclasses.dataclass
class Tree:
    value: int
    branches: list[Tree] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Box(Generic[T]):
    content: T


class Point(TypedDict):
    x: int
    y: float


class Loose(TypedDict, total=False):
    a: int
    b: str


class Pair(NamedTuple):
    left: int
    right: str = "r"


class Order(msgspec.Struct, rename="camel"):
    item_name: str
    count: int = 1


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    a: int = 0


class Cat(msgspec.Struct, tag=True):
    name: str


class Dog(msgspec.Struct, tag=True):
    name: str
    age: int = 3


class Row(msgspec.Struct, array_like=True):
    a: int
    b: str = ""


class Cell(msgspec.Struct, array_like=True, tag="cell", forbid_unknown_fields=True):
    a: int


@dataclasses.dataclass
class Odd:
    path: pathlib.Path
    when: datetime.datetime | str = ""
    next: Odd | None = None


class OddRow(msgspec.Struct, array_like=True, tag="odd"):
    where: pathlib.Path
    when: datetime.date | int = 3


class OddPair(NamedTuple):
    left: pathlib.Path
    right: int = 0


class Pairs(TypedDict, total=False):
    pair: Pair
    path: Required[pathlib.Path]


class Mixed(enum.Enum):
    ONE = 1
    HALF = 0.5
    TEXT = "text"


@attrs.define
class Parcel:
    weight: Annotated[float, Meta(gt=0)]
    to: Address | None = None


class Item(pydantic.BaseModel):
    """A thing that is sold."""

    sku: str = pydantic.Field(min_length=2, examples=["A-100"])
    price: Annotated[float, pydantic.Field(gt=0)]
    parts: list[Item] = []


class Basket(pydantic.BaseModel):
    owner: str
    items: dict[str, Item]
    path: pathlib.Path = pathlib.Path("x")


@dataclasses.dataclass
class Delivery:
    basket: Basket
    parcels: Annotated[list[Parcel], Meta(min_length=1)]


UserId = NewType("UserId", int)


HINTS = [
    "int", "float", "str", "bool", "None", "Any", "object", "bytes", "bytearray", "decimal.Decimal", "uuid.UUID",
    "datetime.datetime", "datetime.date", "datetime.time", "datetime.timedelta",
    "Annotated[datetime.datetime, Meta(tz=True)]", "Annotated[datetime.datetime, Meta(tz=False)]",
    "Annotated[datetime.time, Meta(tz=True)]",
    "Annotated[int, Meta(ge=-3, lt=9)]", "Annotated[int, Meta(gt=2, le=30, multiple_of=3)]",
    "Annotated[float, Meta(gt=0, lt=1)]", "Annotated[float, Meta(ge=-1.5, le=1.5)]",
    "Annotated[str, Meta(min_length=2, max_length=4)]", "Annotated[str, Meta(pattern='^[a-z]{2,5}$')]",
    "Annotated[bytes, Meta(min_length=2)]", "Annotated[bytes, Meta(max_length=4)]",
    "Annotated[bytes, Meta(min_length=4, max_length=5)]",
    "list", "list[int]", "Annotated[list[int], Meta(min_length=1, max_length=3)]", "list[list[str | None]]",
    "tuple", "tuple[()]", "tuple[int, str]", "tuple[int, ...]", "Annotated[tuple[int, ...], Meta(min_length=2)]",
    "set", "set[int]", "frozenset[Colour]", "Annotated[set[str], Meta(min_length=2)]", "set[tuple[int, str]]",
    "dict", "dict[str, int]", "dict[int, str]", "dict[float, int]", "dict[Colour, int]", "dict[Level, int]",
    "dict[int | datetime.date, int]", "dict[Literal['a', 'b'], int]",
    "dict[datetime.date, int]", "dict[uuid.UUID, int]",
    "dict[Annotated[str, Meta(min_length=2)], int]", "Annotated[dict[str, int], Meta(max_length=1)]",
    "collections.abc.Sequence[int]", "collections.abc.Mapping[str, int]",
    "Optional[int]", "int | str | None", "int | float", "list[int] | str", "bool | list[Colour] | dict[str, int]",
    "Literal['a', 1, None]", "Literal[True, 'x']", "Colour", "Level", "Colour | int",
    "Address", "Person", "Tree", "Box[int]", "list[Box[Tree]]", "Point", "Loose", "Pair", "Order", "Strict", "Cat",
    "Cat | Dog", "Cat | Dog | None", "Row", "Cell", "dict[str, Person]", "tuple[Point, list[Pair]]",
    "numbers.Number", "collections.abc.Hashable", "msgspec.Raw",
    "pathlib.Path", "datetime.datetime | str", "datetime.date | datetime.timedelta | None", "list[int] | set[str]",
    "uuid.UUID | int | Colour", "Address | Point", "dict[str, int] | Order", "Person | list[Person] | str", "Odd",
    "OddRow", "OddPair", "Pairs", "Colour | Level | None", "Mixed", "Literal['a', 1.5]", "collections.deque[int]",
    "collections.Counter[str]", "collections.defaultdict[str, list[int]]", "dict[pathlib.Path, int]",
    "Annotated[int, annotated_types.Gt(3)]", "Annotated[list[int] | None, annotated_types.Len(1, 2)]",
    "list[Annotated[str, annotated_types.MinLen(2)]]",
    "Annotated[int, pydantic.Field(ge=2, multiple_of=2)]", "Annotated[UserId, annotated_types.Ge(1)]",
    "list[Odd | None]",
    "Parcel", "dict[str, Parcel | Odd]",
]  # fmt: skip

PYDANTIC_HINTS = [
    "Item", "Basket", "Delivery", "list[Item]", "dict[str, Item] | None", "Item | Basket | int",
    "Annotated[Item | Basket, pydantic.Field(description='Either')]", "pydantic.PositiveInt",
]  # fmt: skip
"""Apart, since pydantic converts more than its own schemas say, such as the text "1" to an int."""


def action_of(define, hint):
    """An action with one parameter `x` of this hint, which is also that of its result."""
    names = {name: value for name, value in globals().items() if name != "__name__"}
    return define(f"@Action(description='d')\ndef f(x: {hint}) -> {hint}: ...", **names)["f"]
