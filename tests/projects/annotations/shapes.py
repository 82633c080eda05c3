"""Classes of every kind that people annotate with."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import pathlib
from typing import Generic, Literal, NamedTuple, NewType, TypeVar

import attrs
import msgspec
import pydantic
from pydantic.dataclasses import dataclass as pydantic_dataclass
from typing_extensions import NotRequired, Required, TypedDict

T = TypeVar("T")
UserId = NewType("UserId", str)
Folder = NewType("Folder", pathlib.Path)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Unit(str, enum.Enum):
    KILO = "kg"


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Ratio(enum.Enum):
    HALF = 0.5
    BOTH = (1, 2)


@dataclasses.dataclass
class User:
    name: str
    emails: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Point:
    x: float
    y: float = 0.0


@dataclasses.dataclass
class Job:
    folder: pathlib.Path
    due: dt.datetime | str = "soon"
    after: list[Job] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Even:
    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            raise ValueError("it is odd")


@dataclasses.dataclass
class Scaled:
    number: int
    by: dataclasses.InitVar[int] = 2
    scaled: int = dataclasses.field(init=False)

    def __post_init__(self, by: int) -> None:
        self.scaled = self.number * by


class Tree(msgspec.Struct):
    value: int
    children: list[Tree] = []


class Upload(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    target_path: pathlib.Path
    retry_after: dt.timedelta | None = None


class Circle(msgspec.Struct, tag=True):
    radius: float


class Square(msgspec.Struct, tag=True):
    side: float


class Row(msgspec.Struct, array_like=True):
    place: pathlib.PurePosixPath
    count: int = 1


@attrs.define
class Part:
    number: int = attrs.field(validator=attrs.validators.gt(0))
    name: str = "part"


@attrs.define
class Cleaned:
    text: str = attrs.field(converter=str.strip)
    length: int = attrs.Factory(lambda self: len(self.text), takes_self=True)


class Movie(TypedDict):
    title: Required[str]
    year: NotRequired[int]
    file: NotRequired[pathlib.Path]


class Options(TypedDict, total=False):
    depth: int
    since: dt.date


class Pair(NamedTuple):
    left: int
    right: str = "r"


class Move(NamedTuple):
    source: pathlib.Path
    target: pathlib.Path


@dataclasses.dataclass
class Box(Generic[T]):
    content: T


class Page(msgspec.Struct, Generic[T]):
    items: list[T]


class Item(pydantic.BaseModel):
    sku: str
    qty: int = pydantic.Field(gt=0)


class Order(pydantic.BaseModel):
    order_id: int = pydantic.Field(alias="orderId")
    items: list[Item]
    placed: dt.datetime | None = None
    at: Point = Point(0.0)


class Cat(pydantic.BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int


class Dog(pydantic.BaseModel):
    kind: Literal["dog"] = "dog"
    good: bool


class Wrapper(pydantic.BaseModel, Generic[T]):
    inner: T


@pydantic_dataclass
class Price:
    amount: decimal.Decimal = pydantic.Field(ge=0)
    currency: str = "usd"


@dataclasses.dataclass
class Basket:
    order: Order
    prices: dict[str, Price]
