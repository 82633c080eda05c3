"""Actions that call actions."""

import asyncio
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ziet import Action, ActionError, memory

LONG = 600


@dataclass
class Point:
    x: int
    y: int


class StockError(Exception):
    def __init__(self, item: str, left: int) -> None:
        super().__init__(f"{left} of {item} left")
        self.left = left


def tries(name: str) -> int:
    """How often this was called with that name in this test, this time included."""
    file = Path(os.environ["SCRATCH"]) / f"tried-{name}"
    with file.open("a") as tried:
        tried.write("x")
    return file.stat().st_size


@Action(description="Fails twice, then completes", retries=3)
def flaky() -> str:
    attempt = tries("flaky")
    memory.add(f"try_{attempt}", attempt)
    if attempt < 3:
        raise ConnectionError(f"try {attempt}")
    return "at last"


@Action(description="Calls a flaky action")
def calls_flaky() -> str:
    tries("calls_flaky")
    return f"got {flaky()}"


@Action(description="Is slow", timeout=10)
def slow(seconds: float = 2) -> float:
    time.sleep(seconds)
    return seconds


@Action(description="Waits longer than its own time", timeout=1)
def waits_long() -> float:
    return slow(2)


@Action(description="Waits, then uses up its own time", timeout=1)
def waits_then_spins() -> None:
    slow(1.5)
    while True:
        pass


@Action(description="Takes too long", timeout=1)
def too_slow() -> None:
    time.sleep(LONG)


@Action(description="Catches what a child that takes too long raises")
def catches_timeout() -> str:
    try:
        too_slow()
    except TimeoutError as error:
        return f"{type(error).__name__}: {error}"
    return "nothing was raised"


@Action(description="Raises")
def raises(kind: str) -> None:
    if kind == "value":
        raise ValueError("wrong value")
    if kind == "own":
        raise StockError("pens", 3)
    os._exit(3)


@Action(description="Catches what a child raises")
def catches(kind: str) -> dict[str, Any]:
    try:
        raises(kind)
    except (ValueError, StockError) as error:
        return told_of(error, "its own type")
    except ActionError as error:
        return told_of(error, "an action's error")
    return {}


def told_of(error: Any, caught: str) -> dict[str, Any]:
    return {"caught": caught, "text": str(error), "type": error.type, "code": error.code, "action": error.action_id}


@Action(description="Lets through what a child raises")
def lets_through() -> None:
    raises("value")


@Action(description="Moves a point")
def move(point: Point, by: int = 1) -> Point:
    return Point(point.x + by, point.y + by)


@Action(description="Gets a point back")
def gets_a_point() -> str:
    moved = move(Point(1, 2), by=3)
    assert type(moved) is Point
    return f"{moved.x}, {moved.y}"


@Action(description="Passes on what cannot travel")
def passes_a_lock() -> str:
    try:
        takes_anything(threading.Lock())
    except TypeError as error:
        return str(error)
    return "it travelled"


@Action(description="Takes anything")
def takes_anything(value: Any) -> bool:
    return hasattr(value, "acquire")


@Action(description="Calls the plain function")
def calls_the_function() -> bool:
    return takes_anything.local(threading.Lock())


@Action(description="Calls with too few arguments")
def calls_wrongly() -> str:
    try:
        move()  # pyright: ignore[reportCallIssue]
    except TypeError as error:
        return str(error)
    return "it was called"


@Action(description="Calls with a wrong value")
def calls_with_a_wrong_value() -> str:
    try:
        move({"x": "one", "y": 2})  # pyright: ignore[reportArgumentType]
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "it was called"


@Action(description="Sleeps without blocking")
async def nap(name: str, seconds: float = 0.3) -> str:
    await asyncio.sleep(seconds)
    return name


@Action(description="Gathers several children")
async def gathers(count: int = 3, seconds: float = 0.3) -> list[str]:
    return list(await asyncio.gather(*(nap(f"nap {number}", seconds) for number in range(count))))


@Action(description="Calls a child that calls a child")
async def nests(name: str) -> str:
    return await nap(f"below {name}", 0.05)


@Action(description="Gathers many children that wait for children of their own")
async def gathers_nested(count: int = 20) -> int:
    return len(await asyncio.gather(*(nests(str(number)) for number in range(count))))


@Action(description="Calls from several threads")
def calls_from_threads(count: int = 4) -> list[float]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(slow, [0.3] * count))


@Action(description="Catches what an async child raises")
async def catches_async() -> str:
    try:
        await fails_async()
    except LookupError as error:
        return f"{type(error).__name__}: {error}"
    return "nothing was raised"


@Action(description="Raises, without blocking")
async def fails_async() -> None:
    await asyncio.sleep(0)
    raise LookupError("not there")


@Action(description="Waits without end", timeout=1)
async def waits_for_ever() -> None:
    await asyncio.sleep(LONG)


@Action(description="Calls itself")
def deeper(depth: int = 0) -> int:
    memory.add("depth", depth)
    return deeper(depth + 1)


@Action(description="Dies while its child runs", retries=1)
def dies_while_waiting() -> None:
    if tries("dies_while_waiting") == 2:
        return
    threading.Thread(target=child_that_stays, daemon=True).start()
    started = Path(os.environ["SCRATCH"]) / "child-started"
    while not started.exists():
        time.sleep(0.01)
    os._exit(5)


@Action(description="Stays")
def child_that_stays() -> None:
    (Path(os.environ["SCRATCH"]) / "child-started").touch()
    time.sleep(LONG)


@Action(description="Gives up on its child")
async def gives_up() -> str:
    try:
        await asyncio.wait_for(nap("too long", LONG), 0.2)
    except (TimeoutError, asyncio.TimeoutError):
        return "gave up"
    return "waited"


@Action(description="Adds to memory and lets a child do so too")
def shares(name: str = "parent") -> list[str]:
    memory.add("who", name)
    if name == "parent":
        shares("child")
    return [entry.value for entry in memory.search()]


@Action(description="Tells which process it runs in")
def process() -> int:
    return os.getpid()


@Action(description="Tells its process and that of its child")
def processes() -> list[int]:
    return [os.getpid(), process(), process.local()]
