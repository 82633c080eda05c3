"""Schemas and documentation in `ziet actions --json`, and test data made from them."""

from __future__ import annotations

import jsonschema

from program import Project, Ziet

SHOP = '''
from dataclasses import dataclass

from ziet import Action


@dataclass
class Order:
    """What was bought."""

    sku: str
    count: int = 1


@Action(description="Ship it")
def ship(order: Order, fast: bool = False) -> dict[str, int]:
    """Ships an order.

    Args:
        order: What to ship.

    Stores:
        label: The label.

    Raises:
        KeyError: Nothing is left of it.
    """
    return {order.sku: order.count}
'''


def shop(ziet: Ziet, settings: str = "") -> Project:
    return ziet.write({"ziet.toml": settings, "actions.py": SHOP})


def test_an_action_is_described_in_full(ziet: Ziet) -> None:
    project = shop(ziet)
    action = project("actions", "ship", "--json").document

    assert action["documentation"] == "Ships an order."
    assert action["stores"] == [{"key": "label", "description": "The label."}]
    assert action["raises"] == [{"type": "KeyError", "description": "Nothing is left of it."}]
    assert [parameter["description"] for parameter in action["parameters"]] == ["What to ship.", None]

    run = project.run("ship", "--json").document
    jsonschema.Draft202012Validator(action["input_schema"]).validate(run["input"])
    jsonschema.Draft202012Validator(action["output_schema"]).validate(run["output"])


def test_test_data_says_what_is_from_the_file(ziet: Ziet) -> None:
    done = shop(ziet, '[inputs."actions.ship"]\nfast = true\n').run("ship")

    assert done.status == 0
    assert done.err == 'note: test data: order={"sku":"example"}, fast=true (ziet.toml)\n'


def test_wrong_test_data_in_the_file_is_told(ziet: Ziet) -> None:
    done = shop(ziet, '[inputs."actions.ship"]\nordr = 1\nfast = "no"\n').run("ship")

    assert done.status == 2
    assert done.err == (
        'error: wrong input for actions.ship under [inputs."actions.ship"] in ziet.toml:\n'
        '  fast: expected bool, got "no" (str)\n'
        "  ordr: unknown parameter, did you mean order?\n"
    )
