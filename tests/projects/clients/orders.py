"""What the clients of tests/test_clients.py have executed."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from datetime import date

from ziet import Action, Client, memory


@dataclass
class Order:
    item: str
    amount: int
    due: date


@dataclass
class Receipt:
    order: Order
    total: int


class OutOfStockError(Exception):
    pass


@Action(description="Adds two numbers")
def add(x: int, y: int = 0) -> int:
    return x + y


@Action(description="Charges for an order")
def charge(order: Order) -> Receipt:
    memory.add("receipt", order.item, metadata={"kind": "receipt"})
    return Receipt(order, order.amount * 3)


@Action(description="Takes its time in an event loop")
async def fetch(name: str) -> list[str]:
    return [name]


@Action(description="Has nothing left")
def ship(item: str) -> None:
    raise OutOfStockError(f"no {item} left")


@Action(description="Prints lines, and before each that has a gate waits until it is opened")
def report(gates: list[int | None]) -> int:
    for number, gate in enumerate(gates, start=1):
        if gate is not None:
            pass_through(gate)
        print(f"line {number}")
    return len(gates)


@Action(description="Waits until a gate is opened")
def hold(gate: int, number: int = 0) -> int:
    pass_through(gate)
    return number


@Action(description="Has a server add, which may be another one than its own")
def order_there(url: str | None, key: str | None) -> int:
    with Client(url, key) as client:
        return client.run(add, 1, y=2)


def pass_through(gate: int) -> None:
    with socket.create_connection(("127.0.0.1", gate)) as connection:
        connection.recv(1)
