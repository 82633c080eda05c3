"""Classes that the tests of types share, and how a value is sent through JSON."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import pathlib
from typing import TypeVar

import pydantic
from typing_extensions import TypeAliasType

from ziet._adapted import adapted
from ziet._encode import encode
from ziet._stand_ins import decoder

T = TypeVar("T")


UTC = dt.timezone.utc


Named = TypeAliasType("Named", dict[str, T], type_params=(T,))


class Colour(enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    SMALL = 1


@dataclasses.dataclass
class Folder:
    path: pathlib.Path
    parts: list[Folder] = dataclasses.field(default_factory=list)
    label: str = "x"
    size: int = dataclasses.field(default_factory=lambda: 3)


@dataclasses.dataclass
class Short:
    x: int


@dataclasses.dataclass
class Long:
    x: int
    y: int = 0


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    name: str = pydantic.Field(alias="Name")
    count: int = pydantic.Field(default=1, gt=0)

    @pydantic.computed_field
    @property
    def twice(self) -> int:
        return self.count * 2


def convert(hint, value):
    return decoder(adapted(hint))(encode(value))
