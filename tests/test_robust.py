"""What the code of an action may do without breaking the way in which it speaks with the program."""

from __future__ import annotations

import pytest

from program import Ziet

ROUGH = """
import asyncio, logging, os, signal, socket, sys, time
from pathlib import Path
from ziet import Action, _wire, memory

socket.setdefaulttimeout(0.2)

@Action(description="Is slow")
def slow(seconds: float) -> str:
    time.sleep(seconds)
    return "slept"

@Action(description="Waits longer than its sockets would")
def waits() -> str:
    return slow(0.6)

@Action(description="Gives up waiting", timeout=2)
async def gives_up() -> str:
    try:
        await asyncio.wait_for(slow_async(60), 0.2)
    except asyncio.TimeoutError:
        return "gave up"
    return "waited"

@Action(description="Is slow")
async def slow_async(seconds: float) -> None:
    await asyncio.sleep(seconds)

@Action(description="Goes on after it gave up", timeout=1)
async def gives_up_and_spins() -> None:
    try:
        await asyncio.wait_for(slow_async(60), 0.2)
    except asyncio.TimeoutError:
        time.sleep(60)

@Action(description="Prints in a signal handler while it prints", timeout=20)
def prints_in_handlers() -> str:
    signal.signal(signal.SIGALRM, lambda *_: print("alarm"))
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    for number in range(2000):
        print("number", number)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return "printed"

@Action(description="Fails with a thousand contexts")
def deep() -> None:
    error = None
    for number in range(3000):
        new = ValueError(number)
        new.__context__, error = error, new
    raise error

@Action(description="Logs a lot at once")
def logs_a_lot() -> str:
    logging.warning("x" * 9_000_000)
    return "logged"

@Action(description="Finds more than fits into one message")
def finds_much() -> int:
    for number in range(10):
        memory.add("much", number, metadata={"text": "x" * 1_000_000})
    return len(memory.search("much"))

@Action(description="Pretends to be an executor", timeout=20)
def pretends() -> list[str]:
    zygote = Path(f"/proc/{os.getppid()}/cmdline").read_bytes().split(b"\\0")
    path = next(part for part in zygote if part.startswith(b"/") and part.endswith(b"/executors"))
    hellos = [_wire.encode(_wire.Hello(_wire.PROTOCOL, "a" * 32, 12)), b"\\0\\0\\0\\3abc", b"\\xff" * 9]
    told = []
    for hello in hellos:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(path)
            connection.sendall(hello)
            told.append(connection.recv(1).decode() or "refused")
    idle = [socket.socket(socket.AF_UNIX) for _ in range(50)]
    for connection in idle:
        connection.connect(path)
    return [*told, slow(0)]

@Action(description="Writes bytes and text")
def writes() -> None:
    for number in range(50):
        sys.stdout.buffer.write(f"bytes {number}\\n".encode())
        print("text", number)
"""


@pytest.mark.parametrize(
    ("action", "returned"),
    [
        ("waits", '"slept"'),
        ("gives_up", '"gave up"'),
        ("prints_in_handlers", '"printed"'),
        ("logs_a_lot", '"logged"'),
        ("finds_much", "10"),
        ("pretends", '["refused", "refused", "refused", "slept"]'),
    ],
)
def test_completes(ziet: Ziet, action: str, returned: str) -> None:
    done = ziet.write({"rough.py": ROUGH}).run(action)
    assert done.status == 0, done.lines[-5:]
    assert done.said(f"Action {action} returned {returned}")


def test_a_call_that_is_given_up_cancels_its_child_and_costs_time_again(ziet: Ziet) -> None:
    done = ziet.write({"rough.py": ROUGH}).run("gives_up_and_spins")
    assert done.status == 1
    assert done.said("Action rough.slow_async cancelled by parent")
    assert done.said("timed out: TimeoutError: exceeded its timeout of 1 s")


def test_a_long_chain_of_errors_is_recorded(ziet: Ziet) -> None:
    document = ziet.write({"rough.py": ROUGH}).run("deep", "--json").document
    assert (document["error"]["type"], document["error"]["message"]) == ("ValueError", "2999")
    assert document["error"]["code"] == "exception"


def test_bytes_and_text_stay_in_order(ziet: Ziet) -> None:
    done = ziet.write({"rough.py": ROUGH}).run("writes")
    shown = [line for line in done.lines if line.startswith(("[INFO] bytes", "[INFO] text"))]
    assert shown == [f"[INFO] {kind} {number}" for number in range(50) for kind in ("bytes", "text")]
