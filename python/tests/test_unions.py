# pyright: reportArgumentType=false, reportCallIssue=false
"""Which member of a union, and which choice, a JSON value becomes."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import pathlib
import typing

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from some_types import UTC, Colour, Long, Model, Short, Size, convert

from ziet._adapted import adapted
from ziet._encode import encode
from ziet._problems import wrong_parts
from ziet._stand_ins import decoder


@dataclasses.dataclass
class OuterShort:
    inner: Short


@dataclasses.dataclass
class OuterLong:
    inner: Long


@dataclasses.dataclass
class And:
    children: list[And | Or] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Or:
    children: list[And | Or] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Said:
    children: list[Said | Heard] = dataclasses.field(default_factory=list)
    kind: typing.Literal["said"] = "said"


@dataclasses.dataclass
class Heard:
    children: list[Said | Heard] = dataclasses.field(default_factory=list)
    kind: typing.Literal["heard"] = "heard"


class Share(enum.Enum):
    ALL = 1.0
    HALF = 0.5


def test_a_number_is_the_same_choice_with_and_without_a_point():
    assert convert(Share, 1) is Share.ALL
    assert convert(Share, 0.5) is Share.HALF
    assert convert(typing.Literal[2, 1.5], 2.0) == 2
    for other in (True, "1.0", None):
        with pytest.raises(msgspec.ValidationError):
            convert(Share, other)


class TestUnions:
    @pytest.mark.parametrize(
        ("hint", "value", "made"),
        [
            (str | dt.datetime, "2024-05-01T12:00:00Z", dt.datetime(2024, 5, 1, 12, tzinfo=UTC)),
            (str | dt.datetime, "soon", "soon"),
            (str | Colour, "red", Colour.RED),
            (int | Size | str, 1, Size.SMALL),
            (float | int | dt.date | str, 3, 3),
            (str | pathlib.Path, "a", "a"),
            (pathlib.Path | str, "a", pathlib.Path("a")),
            (dict[str, int] | Short, {"x": 1}, Short(1)),
            (Short | Long, {"x": 1, "y": 2}, Long(1, 2)),
            (Long | Short, {"x": 1}, Short(1)),
            (list[Short] | list[Long], [{"x": 1, "y": 2}], [Long(1, 2)]),
            (Short | Long, {"x": 1, "z": 2}, Short(1)),
            (bool | int | dt.date | str, True, True),
            (Short | Model, {"Name": "a", "x": 1}, Model(Name="a", x=1)),
        ],
    )
    def test_the_member_that_fits_best_is_taken(self, hint, value, made):
        got = convert(hint, value)
        assert got == made
        assert type(got) is type(made)

    @pytest.mark.parametrize(
        ("hint", "value"),
        [
            (OuterShort | OuterLong, OuterLong(Long(1, 2))),
            (dict[str, Short] | dict[str, Long], {"a": Long(1, 2)}),
            (Said | Heard, Heard([Said([Heard()])])),
            (list[Said | Heard], [Said([Heard()]), Said([Heard()])]),
        ],
    )
    def test_what_only_the_depth_tells_apart(self, hint, value):
        assert convert(hint, value) == value

    @pytest.mark.parametrize(("kinds", "depth"), [((And, Or), 40), ((Said, Heard), 120)])
    @pytest.mark.parametrize("leaf", ["fits", "does not"])
    def test_a_union_that_contains_itself_takes_no_time_in_the_depth(self, kinds, depth, leaf):
        first, second = kinds
        value = second()
        for _ in range(depth):
            value = first([value])
        data = msgspec.json.decode(encode(value))
        if leaf == "fits":
            back = convert(first | second, data)
            assert encode(back) == encode(value)
        else:
            deepest = data
            while deepest["children"]:
                deepest = deepest["children"][0]
            deepest["children"] = 1
            with pytest.raises(msgspec.ValidationError):
                convert(first | second, data)
            (problem,) = wrong_parts(first | second, data, "x")
            assert len(problem[1]) < 1000

    def test_equal_parts_are_objects_of_their_own(self):
        first, second = convert(list[Said | Heard], [{"children": [], "kind": "heard"}] * 2)
        assert first == second
        assert first is not second

    @given(st.from_type(dt.datetime | dt.date | dt.timedelta | int | str))
    def test_what_went_out_comes_back(self, value):
        hint = dt.datetime | dt.date | dt.timedelta | int | str
        back = decoder(adapted(hint))(encode(value))
        assert back == value or (isinstance(value, str) and encode(back) != b'""')
