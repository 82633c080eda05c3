# pyright: strict, reportUnnecessaryTypeIgnoreComment=true
"""Mistakes that a type checker must find: each line with a comment has exactly those errors.

pyright itself complains about an ignore without an error; the test compares what mypy says.
"""

from __future__ import annotations

from ziet import Action, AsyncClient, Client, Run, memory
from ziet.integrations import google, openai, stripe


@Action(description="Greet somebody")
def greet(name: str, *, times: int = 1) -> str:
    return name * times


@Action(description="Fetch")
async def fetch(url: str) -> list[str]:
    return [url]


@Action()  # mypy: call-arg  # pyright: ignore[reportCallIssue]
def no_description() -> None: ...


@Action(name="Charge")  # mypy: call-arg  # pyright: ignore[reportCallIssue]
def name_alone() -> None: ...


@Action("Greet somebody")  # mypy: call-arg  # pyright: ignore[reportCallIssue]
def positional() -> None: ...


@Action  # mypy: arg-type, call-arg  # pyright: ignore[reportCallIssue]
def bare() -> None: ...


@Action(description="d", retry=3)  # mypy: call-arg  # pyright: ignore[reportCallIssue]
def unknown_option() -> None: ...


@Action(description=None)  # mypy: arg-type  # pyright: ignore[reportArgumentType]
def description_none() -> None: ...


@Action(description="d", timeout="5")  # mypy: arg-type  # pyright: ignore[reportArgumentType]
def timeout_as_text() -> None: ...


@Action(description="d", timeout=2.5)  # mypy: arg-type  # pyright: ignore[reportArgumentType]
def timeout_as_float() -> None: ...


@Action(description="d", retries=None)  # mypy: arg-type  # pyright: ignore[reportArgumentType]
def retries_none() -> None: ...


@Action(description="d", id=5)  # mypy: arg-type  # pyright: ignore[reportArgumentType]
def id_as_number() -> None: ...


async def use() -> None:
    greet()  # mypy: call-arg  # pyright: ignore[reportCallIssue]
    greet(5)  # mypy: arg-type  # pyright: ignore[reportArgumentType]
    greet("Ada", 2)  # mypy: call-arg  # pyright: ignore[reportCallIssue]
    greet("Ada", time=2)  # mypy: call-arg  # pyright: ignore[reportCallIssue]
    greet(name="Ada", times="2")  # mypy: arg-type  # pyright: ignore[reportArgumentType]
    greet.local("Ada", times="2")  # mypy: arg-type  # pyright: ignore[reportArgumentType]
    greet.local()  # mypy: call-arg  # pyright: ignore[reportCallIssue]
    number: int = greet("Ada")  # mypy: assignment  # pyright: ignore[reportAssignmentType]
    greet("Ada").charge()  # mypy: attr-defined  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    greet.description = 5  # mypy: assignment  # pyright: ignore[reportAttributeAccessIssue]
    greet.spawn("Ada")  # mypy: attr-defined  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    await greet("Ada")  # mypy: misc  # pyright: ignore[reportGeneralTypeIssues]
    fetch("https://example.com")  # mypy: unused-coroutine  # pyright: ignore[reportUnusedCoroutine]
    words: list[str] = fetch("https://example.com")  # mypy: assignment  # pyright: ignore[reportAssignmentType]
    fetch("https://example.com").append("x")  # mypy: attr-defined  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    numbers: list[int] = await fetch("https://example.com")  # mypy: assignment  # pyright: ignore[reportAssignmentType]
    plain: list[str] = fetch.local("https://example.com")  # mypy: assignment  # pyright: ignore[reportAssignmentType]
    memory.add(5, "value")  # mypy: arg-type  # pyright: ignore[reportArgumentType]
    memory.add("key")  # mypy: call-arg  # pyright: ignore[reportCallIssue]
    memory.add("key", "value", {1: "x"})  # mypy: dict-item  # pyright: ignore[reportArgumentType]
    memory.remove("entry")  # mypy: call-arg  # pyright: ignore[reportCallIssue]
    memory.search(limit="5")  # mypy: arg-type  # pyright: ignore[reportArgumentType]
    memory.get("key", "default")  # mypy: call-arg  # pyright: ignore[reportCallIssue]
    google.search("ziet", results=5)  # mypy: call-arg  # pyright: ignore[reportCallIssue]
    openai.chat("Hello")  # mypy: arg-type  # pyright: ignore[reportArgumentType]
    stripe.create_payment_intent("5")  # mypy: arg-type  # pyright: ignore[reportArgumentType]
    print(number, words, numbers, plain)


def use_client(client: Client, run: Run[str]) -> None:
    client.run(greet)  # mypy: call-overload  # pyright: ignore[reportCallIssue]
    client.run(greet, 5)  # mypy: call-overload  # pyright: ignore[reportCallIssue, reportArgumentType]
    client.run(greet, "Ada", time=2)  # mypy: call-arg, arg-type  # pyright: ignore[reportCallIssue]
    number: int = client.run(greet, "Ada")  # mypy: assignment  # pyright: ignore[reportAssignmentType]
    words: str = client.run(fetch, "https://example.com")  # mypy: assignment  # pyright: ignore[reportAssignmentType]
    client.run("shop.add", 1)  # mypy: call-overload  # pyright: ignore[reportCallIssue, reportArgumentType]
    client.run(len, [])  # mypy: call-overload  # pyright: ignore[reportCallIssue, reportArgumentType]
    count: int = client.wait(run)  # mypy: assignment  # pyright: ignore[reportAssignmentType]
    client.options(patience=3)  # mypy: call-arg  # pyright: ignore[reportCallIssue]
    client.submit_many(greet, {"name": "Ada"})  # mypy: dict-item  # pyright: ignore[reportArgumentType]
    print(number, words, count)


async def use_async_client(client: AsyncClient) -> None:
    number: int = await client.run(greet, "Ada")  # mypy: call-overload  # pyright: ignore[reportAssignmentType]
    client.run(greet, "Ada")  # mypy: unused-coroutine  # pyright: ignore[reportUnusedCoroutine]
    print(number)
