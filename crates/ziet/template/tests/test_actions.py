"""Outside of `ziet run` an action is just the function, and the memory is one of this process."""

import pytest
from ziet import memory

from actions import place_order, price_item


def test_the_price_counts_every_piece() -> None:
    assert price_item("pen", quantity=3) == 4.5
    assert memory.get("price_pen") == 4.5


def test_an_unknown_item_has_no_price() -> None:
    with pytest.raises(ValueError, match="unknown item: boat"):
        price_item("boat")


def test_an_order_adds_its_items_up() -> None:
    place_order(["pen", "lamp"], customer="Grace")

    assert memory.get("order") == {"customer": "Grace", "items": ["pen", "lamp"], "total": 31.4}
