"""Actions that make every line that a run can print."""

import ctypes
import logging
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from ziet import Action, memory

log = logging.getLogger("shop")
libc = ctypes.CDLL(None)


@Action(description="Does everything that memory can")
def remembers() -> str:
    memory.add("a", 1)
    entry = memory.add("a", {"text": "two words"}, metadata={"kind": "note"})
    memory.add("b", None)
    memory.get("a")
    memory.get("nothing")
    memory.search("WORDS two")
    memory.search(filter={"kind": "note"})
    memory.search("nowhere")
    memory.remove(entry_id=entry)
    memory.remove(key="nothing")
    memory.add("entry", entry)
    memory.remove(key="b")
    return "done"


@Action(description="Returns what it is given")
def echo(value: Any = None) -> Any:
    return value


@Action(description="Stores what it is given")
def store(key: str, value: Any = None) -> None:
    memory.add(key, value)


@Action(description="Stores and returns a long value")
def long_value(length: int) -> str:
    memory.add("long", "é" * length)
    return "x" * length


@Action(description="Fails, and would be tried again", retries=1)
def fails_twice(secret: str = "x") -> None:
    memory.add("tried", True)
    raise LookupError(f"no {secret}")


@dataclass
class Item:
    name: str
    price: float
    count: int = 1


@Action(description="Takes parameters of every kind")
def takes(
    number: int,
    text: str,
    ratio: float,
    flag: bool,
    numbers: list[int],
    table: dict[str, int],
    item: Item,
    note: str | None = None,
) -> dict[str, Any]:
    return {
        "number": number,
        "text": text,
        "ratio": ratio,
        "flag": flag,
        "numbers": numbers,
        "table": table,
        "item": [item.name, item.price, item.count],
        "note": note,
    }


@Action(description="Takes more than it names")
def takes_more(name: str, **others: int) -> dict[str, int]:
    return others


@Action(description="Prints, logs and lets others print, in order")
def prints() -> None:
    print("one, printed")
    print("two, as an error", file=sys.stderr)
    log.info("three, logged")
    log.warning("four, a warning")
    log.error("five, an error")
    log.debug("never shown")
    subprocess.run(["sh", "-c", "echo six, by a child process"], check=True)
    print("seven, printed")
    libc.puts(b"eight, in C")
    libc.fflush(None)
    subprocess.run(["sh", "-c", "echo nine, an error of a child process >&2"], check=True)
    # Two pipes, standard output and standard error, have no order between them but by what is printed in between.
    print("ten")
    os.write(1, b"eleven, written\n")
    print("two\nlines")
    print("no end of line", end="")


@Action(description="Prints by Python and past it in turn")
def alternates() -> None:
    for number in range(0, 1000, 2):
        print("number", number)
        os.write(1, f"number {number + 1}\n".encode())


@Action(description="Prints what no terminal likes")
def prints_oddly() -> None:
    print("\udc80 half a character")
    os.write(1, b"\xff no character\n")
    print("é ☃ 🧪")
    print()
    print("y" * 200_000)


@Action(description="Logs what went wrong")
def logs_an_exception() -> None:
    try:
        raise ValueError("on the way")
    except ValueError:
        log.exception("it went wrong")
