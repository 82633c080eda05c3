"""Fails in every way that a user meets. What each looks like stands in tests/shown/failures."""

import asyncio
import builtins
import ctypes
import os
import signal
import sys
import time
from typing import Any

from ziet import Action, memory

LONG = 600
MB = 1024 * 1024
libc_with_gil = ctypes.PyDLL(None)
# Both are new in Python 3.11.
group: Any = vars(builtins).get("ExceptionGroup")
task_group: Any = vars(asyncio).get("TaskGroup")


def load(order: str) -> dict[str, Any]:
    try:
        return {}["id"]
    except KeyError as error:
        raise LookupError(f"no order {order}") from error


@Action(description="Raises")
def raises() -> None:
    raise ValueError("on purpose")


@Action(description="Raises an error without a text")
def raises_without_text() -> None:
    raise ValueError


@Action(description="Raises an error of several lines")
def raises_lines() -> None:
    raise ValueError("two things are wrong:\nthe amount\n  is negative\n\nthe region\tis none")


@Action(description="Raises an error of 3000 characters")
def raises_much() -> None:
    raise ValueError("x" * 3000)


@Action(description="Raises what would take over a terminal")
def raises_escapes() -> None:
    raise ValueError("\x1b[2J\x1b]0;mine\x07 over\rwritten \u202e backwards \x9b31m")


@Action(description="Raises with a cause")
def raises_from() -> None:
    load("17")


@Action(description="Raises while it handles another error")
def raises_while_handling() -> None:
    try:
        load("17")
    except LookupError:
        raise RuntimeError("not even that")  # noqa: B904


@Action(description="Raises while it handles another error, and says nothing of that")
def raises_in_handler() -> None:
    try:
        load("17")
    except LookupError:
        print(missing_name)  # noqa: F821  # pyright: ignore[reportUndefinedVariable]


@Action(description="Raises from nothing")
def raises_from_none() -> None:
    try:
        load("17")
    except LookupError:
        raise RuntimeError("only this") from None


@Action(description="Raises with notes")
def raises_with_notes() -> None:
    error = ValueError("on purpose")
    vars(error)["__notes__"] = ["the order was 17", "two lines:\nthis is the second"]
    raise error


@Action(description="Raises a group")
def raises_group() -> None:
    members: list[Exception] = [ValueError(str(number)) for number in range(7)]
    try:
        load("17")
    except LookupError as error:
        members[1:1] = [error, group("of two", [KeyError("a"), TypeError("b")])]
    raise group("several failed", members)


@Action(description="Fails in two tasks at once")
async def raises_in_tasks() -> None:
    async def fail(number: int) -> None:
        raise ValueError(f"task {number}")

    async with task_group() as tasks:
        tasks.create_task(fail(1))
        tasks.create_task(fail(2))


@Action(description="Raises at the end of a chain of thirty")
def raises_long_chain() -> None:
    error: Exception | None = None
    for number in range(30):
        try:
            raise ValueError(f"error {number}") from error
        except ValueError as raised:
            error = raised
    assert error is not None
    raise error


def ping(left: int) -> int:
    return pong(left)


def pong(left: int) -> int:
    if left == 0:
        raise ValueError("at the bottom")
    return ping(left - 1)


@Action(description="Raises far down a recursion")
def raises_deep() -> None:
    ping(100)


@Action(description="Never stops calling itself")
def recurses() -> None:
    recurses.local()


@Action(description="Raises at the end of thirty different calls")
def raises_far() -> None:
    source = "\n".join(f"def call_{number}(): call_{number + 1}()" for number in range(30))
    names: dict[str, Any] = {"call_30": raises.local}
    exec(compile(source, os.path.join(os.path.dirname(__file__), "made.py"), "exec"), names)
    names["call_0"]()


class Order:
    def __init__(self, number: int) -> None:
        self.number = number

    def __repr__(self) -> str:
        if self.number < 0:
            raise RuntimeError("no number")
        return f"<order {self.number}>"


@Action(description="Raises with variables of many kinds")
def raises_with_locals(amount: int = 3, region: str = "CA") -> None:
    order, broken = Order(17), Order(-1)
    rows = list(range(100_000))
    password = "hunter2"
    headers = {"Authorization": "Bearer hunter2", "Accept": "*/*"}
    escape = "\x1b[2J"
    charge(amount, order, {"rows": rows, "api_key": password, "more": [headers, escape, broken, region]})


def charge(amount: int, order: Order, settings: dict[str, Any]) -> None:
    try:
        settings["currency"]
    except KeyError as error:
        raise ValueError(f"no currency for {order}") from error


@Action(description="Compiles what is no Python")
def compiles() -> None:
    eval("1 + + ")


@Action(description="Imports what is not there")
def imports_nothing() -> None:
    import no_such_module  # noqa: F401  # pyright: ignore


@Action(description="Fails twice, then would be tried a third time", retries=1)
def fails_twice() -> None:
    raise ConnectionError("refused")


class HopelessError(Exception):
    retryable = False


@Action(description="Raises what no retry helps against", retries=3)
def raises_hopeless() -> None:
    raise HopelessError("not again")


@Action(description="Adds zeros without end", timeout=1)
def spins() -> None:
    sum(iter(int, 1))


@Action(description="Sleeps in C without letting other threads run", timeout=1)
def sleeps_in_c() -> None:
    libc_with_gil.sleep(LONG)


@Action(description="Waits without end", timeout=1)
async def waits() -> None:
    await asyncio.sleep(LONG)


@Action(description="Reads where no memory is")
def segfaults() -> None:
    ctypes.string_at(0)


@Action(description="Kills itself")
def kills_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@Action(description="Ends the process at once")
def exits_at_once() -> None:
    os._exit(3)


@Action(description="Leaves Python")
def exits() -> None:
    sys.exit("enough")


@Action(description="Kills the process that forked it")
def loses() -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(LONG)


@Action(description="Takes two parameters", retries=2)
def takes(amount: int, region: str = "CA") -> int:
    return amount


@Action(description="Takes two tables")
def takes_tables(rows: list[dict[str, int]], limits: dict[str, float] | None = None) -> None:
    pass


@Action(description="Returns an object")
def returns_object() -> Any:
    return {"rows": [1, object()]}


@Action(description="Returns no number")
def returns_nan() -> float:
    return float("nan")


@Action(description="Returns JSON of 7 MB")
def returns_much() -> str:
    return "x" * (7 * MB - 2)


@Action(description="Returns a text as a number")
def returns_text() -> int:
    return "ten"  # pyright: ignore[reportReturnType]


@Action(description="Returns what it should have awaited")
async def returns_coroutine() -> Any:
    return asyncio.sleep(0)


@Action(description="Does not await the action that it calls")
async def forgets_to_await() -> None:
    waits()  # pyright: ignore[reportUnusedCoroutine]


@Action(description="Stores what is no JSON")
def stores_object() -> None:
    memory.add("thing", object())


@Action(description="Stores JSON of 7 MB")
def stores_much() -> None:
    memory.add("thing", "x" * (7 * MB - 2))


@Action(description="Stores under no key")
def stores_without_key() -> None:
    memory.add("", 1)


@Action(description="Fills the memory")
def fills_memory() -> None:
    try:
        for _ in range(26):
            memory.add("k", "x" * (4 * MB - 100))
    finally:
        memory.remove(key="k")


@Action(description="Lets a child fail")
def lets_child_fail() -> None:
    raises_from()


@Action(description="Lets a child fail below another, and says so")
def wraps_child() -> None:
    try:
        lets_child_fail()
    except LookupError as error:
        raise RuntimeError("the order could not be billed") from error


@Action(description="Lets a child die")
def lets_child_die() -> None:
    exits_at_once()


@Action(description="Calls an action with a wrong value")
def calls_wrongly() -> None:
    takes("ten")  # pyright: ignore[reportArgumentType]


@Action(description="Calls an action that nobody knows")
def calls_unknown() -> None:
    source = "from ziet import Action\n@Action(description='Came late', id='late')\ndef late(): pass"
    names: dict[str, Any] = {"__name__": "late"}
    exec(source, names)
    names["late"]()


@Action(description="Calls itself for ever")
def calls_itself(depth: int = 1) -> None:
    calls_itself(depth + 1)


@Action(description="Stays")
def stays() -> None:
    print("staying")
    time.sleep(LONG)


@Action(description="Waits for one that stays")
def waits_for_child() -> None:
    stays()


@Action(description="Takes more memory than it may", memory="64MB")
def hogs() -> int:
    return len(bytes(100 * MB))


@Action(description="Lets others take it", memory="64MB", timeout=30)
def hogs_elsewhere() -> None:
    takes = f"import time; taken = b'x' * (48 * {MB}); time.sleep({LONG})"
    for process in [os.posix_spawn(sys.executable, ["python", "-c", takes], os.environ) for _ in range(3)]:
        os.waitpid(process, 0)


@Action(description="Ends as C libraries do")
def aborts_with_words() -> None:
    os.write(2, b"corrupted double-linked list\n")
    os.abort()


@Action(description="Goes on after its return, and fails")
def leaves_work() -> None:
    os.posix_spawnp("sleep", ["sleep", str(LONG)], os.environ)
    raise ValueError("on purpose")
