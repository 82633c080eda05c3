"""What the tests of the engine have executed."""

import socket

from ziet import Action, memory


@Action(description="Returns what it gets")
def echo(value: int = 0) -> int:
    return value


@Action(description="Notes that it is executed, and waits until the port lets it go on")
def hold(port: int, file: str) -> str:
    return _held(port, file)


@Action(description="The same, for a few seconds at most", timeout=4)
def brief(port: int, file: str) -> str:
    return _held(port, file)


@Action(description="The same, and must never be executed twice", on_lost="fail")
def pay(port: int, file: str) -> str:
    return _held(port, file)


@Action(description="Fails as often as asked, and is tried again", retries=3)
def flaky(file: str, failures: int) -> int:
    times = _note(file)
    if times <= failures:
        raise ValueError(f"failure {times}")
    return times


@Action(description="Calls an action that waits")
def parent(port: int, file: str) -> str:
    return hold(port, file)


@Action(description="Prints lines, and waits after the first")
def chatter(port: int, file: str, lines: int) -> None:
    print("line 1")
    _held(port, file)
    for number in range(2, lines + 1):
        print("line", number)


@Action(description="Adds to its memory")
def remember(key: str) -> None:
    memory.add(key, 1)


def _note(file: str) -> int:
    with open(file, "a+") as notes:
        notes.write(".")
        return notes.tell()


def _held(port: int, file: str) -> str:
    _note(file)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        return connection.recv(16).decode()
