# pyright: reportArgumentType=false, reportCallIssue=false
# ruff: noqa: E501 - the texts of errors are as long as they are
"""What becomes of hints that msgspec refuses, piece by piece. `tests/test_types.py` has the table of all kinds."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import math
import pathlib
import subprocess
import sys
import typing
from collections.abc import Awaitable, Coroutine  # noqa: F401 - in executed source
from typing import Annotated, Any, Generic, TypeVar

import annotated_types as at
import msgspec
import numpy as np
import pydantic
import pytest
import typing_extensions
from inline_snapshot import snapshot
from some_types import Colour, Folder, Long, Model, Named, Short, convert
from typing_extensions import TypeAliasType

from ziet import InputError, OutputError, _problems
from ziet._adapted import adapted
from ziet._encode import Unencodable, encode
from ziet._inputs import Inputs
from ziet._problems import wrong_parts
from ziet._results import Result
from ziet._stand_ins import (
    ConstrainedStandIn,
    ObjectStandIn,
    PathStandIn,
    PydanticStandIn,
    UnionStandIn,
    decoder,
)

T = TypeVar("T")
Json = TypeAliasType("Json", "dict[str, Json] | list[Json] | str | float | bool | None")


@dataclasses.dataclass
class Plain:
    value: int
    next: Plain | None = dataclasses.field(default_factory=lambda: None)


class Left(msgspec.Struct):
    right: Right | None = None


class Right(msgspec.Struct):
    left: Left
    at: pathlib.Path


@dataclasses.dataclass
class Generic1(Generic[T]):
    one: T


@dataclasses.dataclass
class Generic2(Generic1[list[T]], Generic[T]):
    two: T


class Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True)
    count: int

    @pydantic.computed_field
    @property
    def twice(self) -> int:
        return self.count * 2


class Account(pydantic.BaseModel):
    name: str
    password: pydantic.SecretStr = pydantic.SecretStr("")
    token: pydantic.SecretBytes | None = None
    pin: pydantic.Secret[int] | None = None


class Accounts(pydantic.RootModel[list[Account]]): ...


class Spelled(pydantic.BaseModel):
    password: pydantic.SecretStr

    @pydantic.field_serializer("password")
    def spell(self, password: pydantic.SecretStr) -> str:
        return password.get_secret_value()


class TestAdapted:
    @pytest.mark.parametrize(
        "hint",
        [int, list[int], Plain, list[Plain], int | None, dict[str, Plain], Any, typing.Literal["a"], None, Colour],
    )
    def test_what_msgspec_takes_stays_as_it_is(self, hint):
        assert adapted(hint) == hint

    def test_stand_ins_know_what_they_stand_for(self):
        assert issubclass(adapted(pathlib.Path), PathStandIn)
        assert adapted(pathlib.Path).hint is pathlib.Path
        union = adapted(dt.datetime | str)
        assert issubclass(union, UnionStandIn)
        assert union.members == [dt.datetime, str]
        assert issubclass(adapted(Model), PydanticStandIn)
        assert adapted(Model).adapter() is adapted(Model).adapter()
        constrained = adapted(Annotated[dt.date, at.Gt(dt.date(2024, 1, 1))])
        assert issubclass(constrained, ConstrainedStandIn)
        assert constrained.bounds == {"gt": dt.date(2024, 1, 1)}

    def test_fields_are_told_with_their_hints_and_defaults(self):
        folder = adapted(Folder)
        assert issubclass(folder, ObjectStandIn)
        path, parts, label, size = folder.fields
        assert (path.name, path.encoded_name, path.required) == ("path", "path", True)
        assert issubclass(path.hint, PathStandIn)
        assert parts.hint == list[folder]
        assert (parts.required, parts.default) == (False, [])
        assert label.default == "x"
        assert size.default is msgspec.NODEFAULT

    @pytest.mark.parametrize("hint", [list[pathlib.Path], dt.date | str | None, Folder, Left, dict[str, Model], Json])
    def test_msgspec_can_describe_them(self, hint):
        assert msgspec.inspect.type_info(adapted(hint))

    def test_classes_that_contain_each_other(self):
        value = Right(Left(Right(Left(), pathlib.Path("b"))), pathlib.Path("a"))
        assert convert(Right, value) == value
        assert convert(Left, Left(value)) == Left(value)

    def test_each_class_keeps_its_own_type_variables(self):
        value = Generic2([pathlib.Path("a")], pathlib.Path("b"))
        assert decoder(adapted(Generic2[pathlib.Path]))(encode(value)) == value
        assert convert(Generic2, {"one": ["a"], "two": 1}) == Generic2(["a"], 1)

    def test_an_alias_may_contain_itself(self):
        value = {"a": [1.0, {"b": None}], "c": "d"}
        assert convert(Json, value) == value
        assert [place for place, _ in wrong_parts(dict[str, Json], [1], "x")] == ["x"]

    def test_an_alias_with_arguments(self):
        assert convert(Named[pathlib.Path], {"a": "b"}) == {"a": pathlib.Path("b")}

    @pytest.mark.skipif(sys.version_info < (3, 12), reason="the syntax is newer")
    def test_the_syntax_of_new_aliases_and_generics(self, define):
        made = define(
            "import dataclasses, pathlib\n"
            "type Tree[T] = T | list[Tree[T]]\n"
            "@dataclasses.dataclass\nclass Box[T]:\n    content: T\n"
            "@Action(description='d')\ndef f(tree: Tree[int], box: Box[pathlib.Path]): ..."
        )
        arguments = Inputs(made["f"]).decode(b'{"tree":[1,[2,[3]]],"box":{"content":"a"}}')
        assert arguments == {"tree": [1, [2, [3]]], "box": made["Box"](pathlib.Path("a"))}

    def test_every_path_is_of_its_own_class(self):
        assert type(convert(pathlib.PureWindowsPath, "a")) is pathlib.PureWindowsPath


class Frozen(typing_extensions.TypedDict):
    a: typing_extensions.ReadOnly[int]
    b: typing_extensions.NotRequired[typing_extensions.ReadOnly[str]]


def test_items_of_a_typed_dict_may_be_read_only():
    assert convert(Frozen, {"a": 1}) == {"a": 1}
    with pytest.raises(Exception, match="missing required field `a`"):
        convert(Frozen, {"b": "x"})


@dataclasses.dataclass
class Defaulted:
    x: int
    y: str = "why"


@pytest.mark.parametrize("hint", [Defaulted, list[Defaulted], dict[str, Defaulted]])
def test_a_default_that_was_not_given_is_there_when_the_value_goes_on(hint):
    given = {Defaulted: {"x": 1}, list[Defaulted]: [{"x": 1}], dict[str, Defaulted]: {"k": {"x": 1}}}[hint]
    assert b'{"x":1,"y":"why"}' in encode(convert(hint, given))


class TestProblems:
    def test_only_so_many_are_told(self, define):
        action = define("@Action(description='d')\ndef f(x: list[int]): ...")["f"]
        with pytest.raises(InputError) as caught:
            Inputs(action).decode(b'{"x":' + msgspec.json.encode(["a"] * 30) + b"}")
        assert len(caught.value.problems) == 21
        lines = str(caught.value).split("\n")
        assert lines[20:] == ['  x[19]: expected int, got "a" (str)', "  and more"]

    @pytest.mark.parametrize(
        ("hint", "wrong"),
        [
            ("list[int]", ["a"] * 300_000),
            ("dict[int, int]", dict.fromkeys(map("a{}".format, range(300_000)), "x")),
            ("list[Short | Long]", [{"x": "a"}] * 300_000),
        ],
    )
    def test_the_search_ends_when_enough_is_told(self, define, monkeypatch, hint, wrong):
        inputs = Inputs(define(f"@Action(description='d')\ndef f(x: {hint}): ...", Short=Short, Long=Long)["f"])
        data = msgspec.json.encode({"x": wrong})
        tried = []
        plain = _problems._failure
        monkeypatch.setattr(_problems, "_failure", lambda *each: tried.append(each) or plain(*each))
        with pytest.raises(InputError, match=r"and more$"):
            inputs.decode(data)
        assert len(tried) < 200

    def test_unknown_parameters_are_told_as_long_as_there_is_room(self, define):
        inputs = Inputs(define("@Action(description='d')\ndef f(x: int = 0): ...")["f"])
        with pytest.raises(InputError, match=r"and more$") as caught:
            inputs.decode(msgspec.json.encode(dict.fromkeys(map("a{}".format, range(100_000)), 1)))
        assert len(caught.value.problems) == 21

    def test_a_value_nested_too_deeply(self):
        value: Any = {"value": 1}
        for _ in range(100_000):
            value = {"value": 1, "next": value}
        assert wrong_parts(Plain, value, "x") == [("x", "expected Plain, got a value nested too deeply")]

    @pytest.mark.parametrize(
        ("hint", "value", "problems"),
        [
            (
                Model,
                {"count": 0},
                snapshot([("x.Name", "Field required"), ("x.count", "Input should be greater than 0, got 0 (int)")]),
            ),
            (
                list[Model],
                [{"Name": "a"}, {"Name": 1}],
                snapshot([("x[1].Name", "Input should be a valid string, got 1 (int)")]),
            ),
            (
                dict[int, pathlib.Path],
                {"a": 1, "2": 3},
                snapshot(
                    [
                        ("x.a", "expected Path, got 1 (int)"),
                        ('x["2"]', "expected Path, got 3 (int)"),
                        ("x (a key)", 'expected int, got "a" (str)'),
                    ]
                ),
            ),
            (
                Folder | None,
                {"parts": [{}]},
                snapshot([("x.parts[0].path", "missing, expected Path"), ("x.path", "missing, expected Path")]),
            ),
            (Folder | int, {"path": 5}, snapshot([("x.path", "expected Path, got 5 (int)")])),
            (
                Short | Long,
                {"x": "a"},
                snapshot(
                    [
                        (
                            "x",
                            'expected Short | Long, got {"x":"a"} (dict); as Short: x: expected int, got "a" (str); as Long: x: expected int, got "a" (str)',
                        )
                    ]
                ),
            ),
            (Annotated[list[int], at.MaxLen(1)], [1, "a"], snapshot([("x[1]", 'expected int, got "a" (str)')])),
            (Annotated[Short, "doc"], {"x": "a"}, snapshot([("x.x", 'expected int, got "a" (str)')])),
            (tuple[int, Short], [1, {"x": None}], snapshot([("x[1].x", "expected int, got null")])),
            (set[Short | None], [None, {"y": 1}], snapshot([("x[1].x", "missing, expected int")])),
        ],
    )
    def test_each_part_is_told(self, hint, value, problems):
        with pytest.raises(Exception):  # noqa: B017, PT011 - what it raises is of no interest
            convert(hint, value)
        assert wrong_parts(hint, value, "x") == problems


class TestConstraints:
    @pytest.mark.parametrize(
        ("hint", "good", "bad"),
        [
            (Annotated[int, at.Gt(0), at.Lt(9), at.MultipleOf(2)], 2, 3),
            (Annotated[int | None, at.Gt(0)], None, 0),
            (Annotated[float, msgspec.Meta(gt=0), at.Lt(1)], 0.5, 1.5),
            (Annotated[dt.date, at.Ge(dt.date(2024, 1, 1))], "2024-01-01", "2023-12-31"),
            (Annotated[dict[str, int], at.MinLen(1)], {"a": 1}, {}),
            (Annotated[set[pathlib.Path], at.MaxLen(1)], ["a"], ["a", "b"]),
            (Annotated[str, msgspec.Meta(pattern="^a"), at.MaxLen(2)], "ab", "ba"),
            (Annotated[str | pathlib.Path, msgspec.Meta(min_length=2)], "ab", "a"),
            (Annotated[dt.datetime, at.Timezone(None)], "2024-01-01T00:00:00", "2024-01-01T00:00:00Z"),
            (Annotated[dt.datetime, at.Timezone("UTC")], "2024-01-01T00:00:00Z", "2024-01-01T00:00:00+01:00"),
            (Annotated[float, at.Predicate(float.is_integer)], 1.0, 1.5),
            (list[Annotated[int, at.Gt(0)]], [1], [1, 0]),
            (Annotated[int, pydantic.Field(gt=0)], 1, 0),
            (Annotated[list[Plain], pydantic.Field(max_length=1)], [{"value": 1}], [{"value": 1}, {"value": 2}]),
            (Annotated[list[Left], pydantic.Field(max_length=1)], [{}], [{}, {}]),
            (Annotated[str, pydantic.StringConstraints(pattern="^a")], "a", "b"),
            (Annotated[int, pydantic.AfterValidator(lambda value: 1 // value)], 1, 0),
        ],
    )
    def test_they_are_enforced(self, hint, good, bad):
        convert(hint, good)
        with pytest.raises(Exception):  # noqa: B017, PT011 - msgspec's or whatever a validator raises
            convert(hint, bad)

    def test_metadata_that_asks_for_nothing_is_passed_over(self):
        assert convert(Annotated[int, "doc", object(), at.doc("text") if hasattr(at, "doc") else 1], 3) == 3

    def test_one_that_nobody_knows_is_refused(self):
        with pytest.raises(TypeError, match="pydantic's Strict"):
            adapted(Annotated[list[Left], pydantic.Strict()])


class TestPydantic:
    def test_models_are_json_by_alias_and_without_what_is_computed(self):
        assert encode(Model(Name="a", extra=1)) == b'{"Name":"a","count":1,"extra":1}'
        assert convert(Strict, msgspec.json.decode(encode(Strict(count=2)))) == Strict(count=2)

    def test_a_model_decides_how_strict_it_is_and_other_hints_are_strict(self):
        assert convert(Model, {"Name": "a", "count": "2"}).count == 2
        for hint, value in [(Strict, {"count": "2"}), (Annotated[int, pydantic.Field(gt=0)], "2")]:
            with pytest.raises(msgspec.ValidationError):
                convert(hint, value)

    @pytest.mark.parametrize("value", [Model(Name="a", extra=math.nan), [Model(Name="a", extra={"b": math.inf})]])
    def test_a_nan_in_a_model_is_found(self, value):
        with pytest.raises(Unencodable, match=r"\.extra.* is (NaN|infinite)"):
            encode(value)

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (Account(name="a", password="pw"), r"it.password is a pydantic.SecretStr: use .get_secret_value()"),
            ([{"a": Account(name="a", token=b"pw")}], r"it[0].a.token is a pydantic.SecretBytes: use"),
            (Accounts([Account(name="b"), Account(name="a", pin=1)]), r"it.root[1].pin is a pydantic.Secret: use"),
            (pydantic.SecretStr("pw"), "it is a pydantic.SecretStr: use .get_secret_value()"),
        ],
    )
    def test_a_secret_does_not_become_stars(self, value, text):
        with pytest.raises(Unencodable) as caught:
            encode(value)
        assert caught.value.text("it").startswith(text)

    def test_a_secret_that_its_model_spells_out_is_json(self):
        value = Spelled(password="pw")
        assert convert(Spelled, value) == value
        assert encode(Account(name="a")) == b'{"name":"a","password":"","token":null,"pin":null}'

    def test_nobody_who_does_not_use_it_imports_it(self):
        source = (
            "import sys, dataclasses, pathlib, datetime, typing, annotated_types\n"
            "from ziet._inputs import Inputs\nfrom ziet._results import Result\nfrom ziet import Action\n"
            "@dataclasses.dataclass\nclass A:\n    path: pathlib.Path\n"
            "@Action(description='d')\n"
            "def f(a: A, b: 'datetime.datetime | str', c: typing.Annotated[int, annotated_types.Gt(0)]) -> A: ...\n"
            "Inputs(f), Result(f).encode(A(pathlib.Path('a')))\n"
            "assert not {'pydantic', 'attrs', 'numpy', 'pandas'} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", source], check=True)


class Moment(dt.datetime): ...


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (np.float64(1.5), b"1.5"),
        (np.str_("a"), b'"a"'),
        (Moment(2024, 5, 1, tzinfo=dt.timezone(dt.timedelta(hours=2))), b'"2024-05-01T00:00:00+02:00"'),
        (pathlib.PurePosixPath("a/b"), b'"a/b"'),
        (collections.deque([1]), b"[1]"),
        ({"a": [pathlib.PureWindowsPath("a")]}, b'{"a":["a"]}'),
    ],
)
def test_more_that_is_json(value, data):
    assert encode(value) == data


class TestResults:
    @pytest.fixture
    def of(self, define):
        names = {name: value for name, value in globals().items() if not name.startswith("__")}
        return lambda annotation: Result(define(f"@Action(description='d')\ndef f(){annotation}: ...", **names)["f"])

    @pytest.mark.parametrize(
        ("annotation", "value"),
        [
            ("", {"a": [1, None]}),
            (" -> Any", "x"),
            (" -> None", None),
            (" -> Folder", Folder(pathlib.Path("a"), [Folder(pathlib.Path("b"))])),
            (" -> list[Model]", [Model(Name="a")]),
            (" -> Awaitable[dt.date]", dt.date(2024, 5, 1)),
            (" -> Coroutine[Any, Any, Plain]", Plain(1)),
            (" -> typing.NoReturn", None),
        ],
    )
    def test_they_are_rebuilt_by_the_annotation(self, of, annotation, value):
        result = of(annotation)
        back = result.decode(result.encode(value))
        assert back == value
        assert type(back) is type(value)

    @pytest.mark.parametrize(
        ("annotation", "value", "text"),
        [
            (
                " -> int",
                "x",
                snapshot(
                    'shop.f returned what its return annotation does not allow: result: expected int, got "x" (str)'
                ),
            ),
            (
                " -> None",
                {"a": 1},
                snapshot(
                    'shop.f returned what its return annotation does not allow: result: expected None, got {"a":1} (dict); return nothing, or write the annotation'
                ),
            ),
            (
                " -> Plain",
                Plain("x", Plain(None)),
                snapshot("""\
shop.f returned what its return annotation does not allow:
  result.value: expected int, got "x" (str)
  result.next.value: expected int, got null\
"""),
            ),
            (
                " -> dict[str, dt.date | int]",
                {"a": 1, "b": [], "c": "x"},
                snapshot("""\
shop.f returned what its return annotation does not allow:
  result.b: expected date | int, got [] (list)
  result.c: expected date | int, got "x" (str): invalid RFC3339 encoded date\
"""),
            ),
            (
                " -> Folder",
                {"path": np.int64(1)},
                snapshot("shop.f returned a value that is not JSON: result.path is a numpy.int64: use .item()"),
            ),
            ("", "x" * 7 * 1024 * 1024, snapshot("shop.f returned 7.0 MB, limit 6 MB")),
            (" -> int", math.nan, snapshot("shop.f returned a value that is not JSON: result is NaN")),
        ],
    )
    def test_what_does_not_fit_is_told(self, of, annotation, value, text):
        with pytest.raises(OutputError) as caught:
            of(annotation).encode(value)
        assert str(caught.value) == text
        assert caught.value.retryable is False


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        ("pathlib.Path", "always"),
        ("pathlib.Path | None", "unless_null"),
        ("dt.date | str", "always"),
        ("bytes", "always"),
        ("pathlib.Path | int", "never"),
        ("Colour", "never"),
        ("None", "never"),
    ],
)
def test_what_is_text_in_json_is_taken_as_it_stands_on_the_command_line(define, hint, text):
    names = {"pathlib": pathlib, "dt": dt, "Colour": Colour}
    action = define(f"@Action(description='d')\ndef f(x: {hint}): ...", **names)["f"]
    assert Inputs(action).parameters()[0]["text"] == text
