"""What the benchmark of the executors has executed."""

import ctypes
import socket
import time

from ziet import Action, memory


@Action(description="Tells when its first line was executed", retries=0)
def first_line() -> int:
    return time.monotonic_ns()


@Action(description="Does nothing with an input that is checked", retries=0)
def noop(number: int, text: str, numbers: list[int]) -> int:
    return number


@Action(description="Waits until the port that it connects to lets it go on", retries=0)
def hold(gate: int) -> None:
    with socket.create_connection(("127.0.0.1", gate)) as connection:
        connection.recv(1)


@Action(description="Computes for ever", timeout=1, retries=0)
def spin() -> None:
    while True:
        pass


@Action(description="Sleeps in C code that holds the interpreter's lock", timeout=1, retries=0)
def sleep_in_c() -> None:
    library = ctypes.PyDLL(None)
    while True:
        library.usleep(60_000_000)


@Action(description="Adds to its memory", retries=0)
def remember() -> None:
    memory.add("key", 1)
