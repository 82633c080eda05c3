"""What the benchmark of the server has executed."""

import socket
import time

from ziet import Action, memory


@Action(description="Does nothing with an input that is checked", retries=0)
def noop(number: int, text: str, numbers: list[int]) -> int:
    return number


@Action(
    description="Adds so many entries to its memory, and tells the moments before, between and after",
    retries=0,
)
def remember(times: int) -> list[int]:
    value = {"text": "x" * 170}
    moments = [time.monotonic_ns()]
    for _ in range(times):
        memory.add("key", value)
        moments.append(time.monotonic_ns())
    return moments


@Action(description="Waits until the port that it connects to lets it go on", retries=0)
def hold(gate: int) -> None:
    with socket.create_connection(("127.0.0.1", gate)) as connection:
        connection.recv(1)
