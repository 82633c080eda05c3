"""The actions of this project: each function with @Action is a unit of work that Ziet runs in a process of its own."""

from ziet import Action, memory

PRICES = {"pen": 1.5, "notebook": 4.0, "lamp": 29.9}


@Action(
    id="price_item",
    name="Price Item",
    description="Calculate the price of some pieces of an item",
    timeout=10,
)
def price_item(item: str, quantity: int = 1) -> float:
    """Calculate the price of some pieces of an item.

    Args:
        item: What is bought (e.g., "lamp")
        quantity: How many pieces

    Stores:
        price_<item>: The price in USD

    Raises:
        ValueError: If nothing of that name is sold
    """
    if item not in PRICES:
        raise ValueError(f"unknown item: {item}; there are {', '.join(PRICES)}")
    price = round(PRICES[item] * quantity, 2)
    memory.add(key=f"price_{item}", value=price)
    return price


@Action(
    id="place_order",
    name="Place Order",
    description="Price the items of an order and add them up",
    timeout=60,
)
def place_order(items: list[str], customer: str = "Ada") -> None:
    """Price the items of an order and add them up.

    Each call of `price_item` is a run of its own, with its own timeout and retries; the memory is shared.

    Args:
        items: What is bought (e.g., ["pen", "lamp"])
        customer: Who buys it

    Stores:
        order: The customer, the items and the total in USD
    """
    total = sum(price_item(item) for item in items)
    memory.add(key="order", value={"customer": customer, "items": items, "total": round(total, 2)})
