"""`ziet actions`: the list in terminals and pipes, and one action in full."""

from __future__ import annotations

import pytest
from inline_snapshot import snapshot

from program import Project, Ziet

SHOP = """
from __future__ import annotations

from ziet import Action


@Action(
    id="place_order",
    name="Place\\tOrder",
    description="Places an order,\\nwhich may \\x1b[31mtake a while to arrive at those who wait for it",
    timeout=60,
    retries=2,
)
def order(items: list[str], address: dict[str, str | int], *, express: bool = False, note: str = "a\\tb") -> float:
    return 1.0


@Action(description="Pays")
async def pay() -> None: ...
"""


@pytest.fixture
def shop(ziet: Ziet) -> Project:
    return ziet.write({"ziet.toml": "", "shop/__init__.py": "", "shop/actions.py": SHOP})


def shown(project: Project, *arguments: str, columns: int, **environment: str) -> str:
    """What a terminal of this width gets, with escape characters visible."""
    project.columns = columns
    running, _ = project.start_in_terminal("actions", *arguments, **environment)
    done = running.finish()
    assert done.status == 0
    return done.out.replace("\r\n", "\n").replace("\x1b", "␛")


def test_the_list_fits_a_narrow_terminal(shop: Project) -> None:
    out = shown(shop, columns=60)
    assert out == snapshot("""\
␛[1m␛[32mPlace Order␛[0m  ␛[36mplace_order␛[0m
  Places an order, which may \\x1b[31mtake a while to arrive
  at those who wait for it
  (items: list[str], address: dict[str, str | int], express:
   bool = false, note: str = "a\\tb")
  ␛[2mshop/actions.py:7␛[0m

␛[1m␛[32mPay␛[0m  ␛[36mshop.actions.pay␛[0m
  Pays
  ()
  ␛[2mshop/actions.py:18␛[0m

""")
    assert shown(shop, columns=60, NO_COLOR="1") == snapshot("""\
Place Order  place_order
  Places an order, which may \\x1b[31mtake a while to arrive
  at those who wait for it
  (items: list[str], address: dict[str, str | int], express:
   bool = false, note: str = "a\\tb")
  shop/actions.py:7

Pay  shop.actions.pay
  Pays
  ()
  shop/actions.py:18

""")


@pytest.mark.parametrize("arguments", [[], ["place_order"]])
def test_a_dumb_terminal_gets_plain_characters(shop: Project, arguments: list[str]) -> None:
    out = shown(shop, *arguments, columns=200, TERM="dumb")
    assert "␛" not in out
    assert out.isascii()
    assert out == shop("actions", *arguments).out


def test_one_action_in_full(shop: Project) -> None:
    done = shop("actions", "place_order")

    assert (done.status, done.err) == (0, "")
    for part in (
        "Place Order  place_order\n  Places an order, which may \\x1b[31mtake a while",
        "\n\n  Parameters\n    items: list[str]\n",
        '\n    note: str = "a\\tb"\n',
        "\n\n  Limits\n    timeout: 60 s for each attempt\n    retries: 2\n",
        "\n\n  Defined in\n    shop/actions.py:7\n",
        "\n\n  Run it\n    ziet run --local action place_order\n"
        "    ziet run --local action place_order -p items=ITEMS -p address=ADDRESS\n",
    ):
        assert part in done.out


def test_the_command_that_it_shows_runs_it(shop: Project) -> None:
    *_, command = shop("actions", "pay").out.splitlines()

    assert shop(*command.split()[1:]).status == 0


@pytest.mark.parametrize("name", ["place_order", "order", "shop.actions.order"])
def test_an_action_is_named_as_in_a_run(shop: Project, name: str) -> None:
    document = shop("actions", name, "--json").document

    assert document["id"] == "place_order"
    assert document == next(action for action in shop.actions() if action["id"] == "place_order")


def test_an_unknown_name_gives_the_nearest(shop: Project) -> None:
    done = shop("actions", "ordre", "--json")

    assert (done.status, done.out) == (2, "")
    assert done.err == "error: no action `ordre`\nhint: the nearest names: `place_order`\n"
