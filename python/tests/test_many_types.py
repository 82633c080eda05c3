"""What the types of many actions and many inputs cost: each is looked at once, and nothing is left behind."""

from __future__ import annotations

import datetime as dt
import gc
import pathlib
import sys
import types
import typing

import pytest
from some_types import Folder, Named, convert

from ziet import InputError
from ziet._inputs import Inputs


class TestManyActions:
    SOURCE = """
from __future__ import annotations
import dataclasses, pathlib, typing
from ziet import Action
@dataclasses.dataclass
class Order:
    state: typing.Literal["new", 1.5]
    path: pathlib.Path
    parent: Order | None = None

@dataclasses.dataclass
class Item:
    state: typing.Literal["new", "paid"]
    parent: Item | None = None
""" + "".join(
        f"@Action(description='d')\ndef f{i}(a: Order, b: list[Order], c: Item, d: Item | None) -> Order | None: ...\n"
        for i in range(30)
    )

    def test_a_class_that_they_share_is_looked_at_once(self, monkeypatch):
        shop = types.ModuleType("shop")
        monkeypatch.setitem(sys.modules, "shop", shop)
        exec(compile(self.SOURCE, "/shop.py", "exec", dont_inherit=True), vars(shop))
        looked_at = []
        plain = typing.get_type_hints
        monkeypatch.setattr(
            typing, "get_type_hints", lambda of, *args, **kwargs: looked_at.append(of) or plain(of, *args, **kwargs)
        )
        inputs = [Inputs(vars(shop)[f"f{i}"]) for i in range(30)]
        assert len({each.fields[0].adapted for each in inputs}) == 1
        # Once by ziet, and once by msgspec.
        assert looked_at.count(shop.Order) == 1
        assert looked_at.count(shop.Item) <= 2

    def test_wrong_input_leaves_nothing_behind(self, define):
        made = define("@Action(description='d')\ndef f(a: list[dict[dt.date, Folder]]): ...", dt=dt, Folder=Folder)
        inputs = Inputs(made["f"])

        def left() -> int:
            for _ in range(20):
                with pytest.raises(InputError):
                    inputs.decode(b'{"a":[{"b":{"path":1},"2024-05-01":{"path":"a","parts":[{"path":2}]}}]}')
            gc.collect()
            return sum(isinstance(each, type) for each in gc.get_objects())

        assert left() == left()

    def test_the_order_of_a_union_counts_wherever_it_stands(self):
        assert convert(list[str | pathlib.Path], ["a"]) == ["a"]
        assert convert(list[pathlib.Path | str], ["a"]) == [pathlib.Path("a")]
        both = tuple[Named[pathlib.Path | str], Named[str | pathlib.Path]]
        assert convert(both, [{"a": "b"}, {"a": "b"}]) == ({"a": pathlib.Path("b")}, {"a": "b"})
