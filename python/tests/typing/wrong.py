# pyright: strict, reportUnnecessaryTypeIgnoreComment=true
"""Mistakes that a type checker must find: each line with an ignore has exactly that error."""

from __future__ import annotations

from ziet import Action, memory
from ziet.integrations import google, openai, stripe


@Action(description="Greet somebody")
def greet(name: str, *, times: int = 1) -> str:
    return name * times


@Action(description="Fetch")
async def fetch(url: str) -> list[str]:
    return [url]


@Action()  # pyright: ignore[reportCallIssue]
def no_description() -> None: ...


@Action("Greet somebody")  # pyright: ignore[reportCallIssue]
def positional() -> None: ...


@Action  # pyright: ignore[reportCallIssue]
def bare() -> None: ...


@Action(description="d", retry=3)  # pyright: ignore[reportCallIssue]
def unknown_option() -> None: ...


@Action(description="d", timeout="60")  # pyright: ignore[reportArgumentType]
def timeout_as_text() -> None: ...


@Action(description="d", retries=None)  # pyright: ignore[reportArgumentType]
def retries_none() -> None: ...


async def use() -> None:
    greet()  # pyright: ignore[reportCallIssue]
    greet(5)  # pyright: ignore[reportArgumentType]
    greet("Ada", 2)  # pyright: ignore[reportCallIssue]
    greet("Ada", time=2)  # pyright: ignore[reportCallIssue]
    greet.local("Ada", times="2")  # pyright: ignore[reportArgumentType]
    number: int = greet("Ada")  # pyright: ignore[reportAssignmentType]
    greet.description = 5  # pyright: ignore[reportAttributeAccessIssue]
    greet.spawn("Ada")  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    words: list[str] = fetch("https://example.com")  # pyright: ignore[reportAssignmentType]
    numbers: list[int] = await fetch("https://example.com")  # pyright: ignore[reportAssignmentType]
    memory.add(5, "value")  # pyright: ignore[reportArgumentType]
    memory.remove("entry")  # pyright: ignore[reportCallIssue]
    memory.search(limit="5")  # pyright: ignore[reportArgumentType]
    google.search("ziet", results=5)  # pyright: ignore[reportCallIssue]
    openai.chat("Hello")  # pyright: ignore[reportArgumentType]
    stripe.create_payment_intent("5")  # pyright: ignore[reportArgumentType]
    print(number, words, numbers)
