"""What the crash tests have executed: everything it does, it tells a port, which outlives it and the server."""

import json
import socket
import time

from ziet import Action, memory

RETRIES = 9


def tell(port: int, number: int, entry: str | None = None) -> None:
    """That something was done for this number, and which entry was acknowledged before."""
    effect = {"number": number, "entry": entry, "at": time.time()}
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(json.dumps(effect).encode())


@Action(description="Adds to its memory", retries=RETRIES)
def work(number: int, port: int) -> int:
    tell(port, number, memory.add("worked", number))
    return number


@Action(description="Fails the first time", retries=RETRIES)
def flaky(number: int, port: int) -> int:
    if memory.get("tried") is None:
        tell(port, number, memory.add("tried", number))
        raise ConnectionError("the first time")
    tell(port, number)
    return number


@Action(description="Calls others", retries=RETRIES)
def nested(number: int, port: int) -> int:
    tell(port, number, memory.add("called", number))
    return work(number, port) + flaky(number, port) - number


@Action(description="Is slow", timeout=900, retries=RETRIES)
def slow(number: int, port: int, seconds: float) -> int:
    tell(port, number)
    time.sleep(seconds)
    return number


@Action(description="Is slower than it may be", timeout=2)
def late(number: int, port: int) -> None:
    tell(port, number)
    time.sleep(600)


@Action(description="Takes much", retries=RETRIES)
def take(text: str) -> int:
    return len(text)
