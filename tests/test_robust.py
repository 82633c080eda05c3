"""What the code of an action may do without breaking the way in which it speaks with the program."""

from __future__ import annotations

import pytest

from program import Ziet

ROUGH = """
import asyncio, logging, os, signal, socket, sys, threading, time
from dataclasses import dataclass
from pathlib import Path
from ziet import Action, _context, _wire, memory

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

def executors():
    zygote = Path(f"/proc/{os.getppid()}/cmdline").read_bytes().split(b"\\0")
    return next(part for part in zygote if part.startswith(b"/") and part.endswith(b"/executors"))

def answer(path, hello):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(path)
        try:
            connection.sendall(hello)
            return connection.recv(1).decode() or "refused"
        except (BrokenPipeError, ConnectionResetError):
            return "refused"

def in_child(function, *arguments):
    end, told = os.pipe()
    child = os.fork()
    if not child:
        os.write(told, repr(function(*arguments)).encode())
        os._exit(0)
    os.close(told)
    os.waitpid(child, 0)
    return os.read(end, 1000).decode()

@Action(description="Pretends to be an executor", timeout=20)
def pretends() -> list[str]:
    path = executors()
    hellos = [_wire.encode(_wire.Hello(_wire.PROTOCOL, "a" * 32, 12)), b"\\0\\0\\0\\3abc", b"\\xff" * 9]
    told = [in_child(answer, path, hello) for hello in hellos]
    return [*told, answer(path, b"half"[:2]), slow(0)]

def taken(path, program):
    count = lambda: len(os.listdir(f"/proc/{program}/fd"))
    before = count()
    greedy = socket.socket(socket.AF_UNIX)
    greedy.connect(path)
    try:
        for piece in [b"\\0\\0\\3\\0"] + [b"."] * 200:
            socket.send_fds(greedy, [piece], [0, 1, 2])
    except BrokenPipeError:
        pass
    silent = [socket.socket(socket.AF_UNIX) for _ in range(200)]
    for connection in silent:
        connection.connect(path)
    answer(path, b"\\xff" * 9)  # By then all others are seen.
    return count() - before

@Action(description="Takes descriptors of the program", timeout=20)
def takes() -> list[str]:
    program = Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()[1]
    return [in_child(taken, executors(), program), slow(0)]

@Action(description="Asks and does not read the answers", timeout=120)
def reads_nothing() -> None:
    memory.add("big", "x" * 6_000_000)
    connection = _context.run._channel._connection
    for number in range(100):
        connection.sendall(_wire.encode(_wire.MemoryGet(1000 + number, "big")))
    time.sleep(100)

@Action(description="Leaves many threads")
def leaves_many() -> str:
    for number in range(8):
        threading.Thread(target=time.sleep, args=(60,), name=f"{number}").start()
    return "left them"

@Action(description="May use what no decorator allows")
def unlimited() -> None:
    raise MemoryError

unlimited.memory = 2**63

@dataclass
class Slow:
    number: int
    def __post_init__(self):
        time.sleep(2.5)

@Action(description="Takes what takes long to make")
def takes_slow(slow: Slow) -> str:
    return "took it"

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
        ("pretends", """["'refused'", "'refused'", "'refused'", "refused", "slept"]"""),
        ("leaves_many", '"left them"'),
    ],
)
def test_completes(ziet: Ziet, action: str, returned: str) -> None:
    done = ziet.write({"rough.py": ROUGH}).run(action)
    assert done.status == 0, done.lines[-5:]
    assert done.said(f"Action {action} returned {returned}")


def test_no_connection_takes_the_descriptors_of_the_program(ziet: Ziet) -> None:
    done = ziet.write({"rough.py": ROUGH}).run("takes", "--json")
    count, slept = done.document["output"]
    assert slept == "slept"
    assert int(count) < 25


def test_one_that_reads_no_answers_is_ended(ziet: Ziet) -> None:
    document = ziet.write({"rough.py": ROUGH}).run("reads_nothing", "--json").document
    assert (document["error"]["code"], document["error"]["message"]) == ("crashed", "it does not read its answers")


def test_of_much_that_is_left_the_rest_is_counted(ziet: Ziet) -> None:
    [told] = ziet.write({"rough.py": ROUGH}).run("leaves_many").said("left behind")
    assert told.count("thread ") == 5
    assert told.endswith(", and 3 more")


def test_the_limit_of_memory_is_one_that_there_may_be(ziet: Ziet) -> None:
    document = ziet.write({"rough.py": ROUGH}).run("unlimited", "--json").document
    assert document["error"]["code"] == "out_of_memory"
    assert document["error"]["notes"] == ["its limit of memory is 10 GB"]


def test_input_that_takes_long_to_make_is_waited_for(ziet: Ziet) -> None:
    done = ziet.write({"rough.py": ROUGH}).run("takes_slow", ZIET_EXECUTOR_IDLE="1")
    assert done.said('Action takes_slow returned "took it"'), done


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
