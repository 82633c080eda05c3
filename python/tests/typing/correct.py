# pyright: strict
"""Idiomatic code: nothing here may be an error under `pyright --strict` or `mypy --strict`."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypedDict, TypeVar

from msgspec import Meta
from typing_extensions import NotRequired, ParamSpec

import ziet
from ziet import Action, ActionError, DefinitionError, InputError, MemoryValueError, OutputError, ZietError, memory
from ziet.integrations import google, openai, sendgrid, stripe

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Currency(Enum):
    USD = "usd"
    EUR = "eur"


class Label(TypedDict):
    name: str
    colour: NotRequired[str]


class Point(NamedTuple):
    x: float
    y: float


@dataclass
class User:
    name: str
    age: int = 0
    tags: list[str] = field(default_factory=list[str])


@dataclass
class Page(Generic[T]):
    items: list[T]
    next: str | None = None


def timed(function: Callable[P, R]) -> Callable[P, R]:
    """A decorator as people write them."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(*args, **kwargs)

    return wrapper


@Action(description="Greet somebody")
def greet(name: str, *, times: int = 1) -> str:
    return name * times


@Action(
    id="charge_customer",
    name="Charge Customer",
    description="Charge customer via Stripe",
    timeout=30,
    retries=2,
)
def charge_customer(amount: int, user: User | None = None, **labels: str) -> dict[str, Any]:
    intent = stripe.create_payment_intent(amount=amount * 100, currency="usd", metadata=labels)
    memory.add(key="payment_intent_id", value=intent["id"])
    return intent


@Action(description="Everything that a hint may be")
def many_hints(
    day: date,
    amount: Annotated[int, Meta(gt=0)],
    labels: list[Label],
    route: tuple[Point, ...],
    kind: Literal["new", "old"] = "new",
    currency: Currency = Currency.USD,
    extra: Mapping[str, Sequence[int]] | None = None,
) -> Page[User]:
    return Page([User("Ada")])


@Action(description="Wrapped by another decorator")
@timed
def wrapped(name: str, times: int = 2) -> list[str]:
    return [name] * times


@Action(description="Fetch")
async def fetch(url: str) -> list[str]:
    return [url]


@Action(description="Nothing")
def nothing() -> None:
    return None


async def use_async() -> list[str]:
    fetched: list[str] = await fetch("https://example.com")
    waiting: Awaitable[list[str]] = fetch(url="https://example.com")
    plain: Coroutine[Any, Any, list[str]] = fetch.local("https://example.com")
    first, second = await asyncio.gather(fetch("https://example.com/a"), fetch(url="https://example.com/b"))
    return fetched + await waiting + await plain + first + second


def each(function: Callable[[str], T], names: Iterable[str]) -> list[T]:
    return [function(name) for name in names]


def use() -> None:
    text: str = greet("Ada", times=2)
    same: str = greet.local("Ada")
    signature: Callable[[str], str] = greet
    greeted: list[str] = each(greet, ["Ada", "Grace"])
    intent: dict[str, Any] = charge_customer(5, User("Ada"), order="7")
    point = Point(1, 2)
    page: Page[User] = many_hints(date(2026, 1, 2), 3, [{"name": "a"}], (point, point), kind="old")
    first: User = page.items[0]
    several: list[str] = wrapped("Ada", times=3) + wrapped.local(name="Ada")
    options: tuple[str, str, str, int, int] = (greet.id, greet.name, greet.description, greet.timeout, greet.retries)
    nothing()
    print(text, same, signature, greeted, intent, first, several, options)


def use_memory() -> None:
    entry_id: str = memory.add("user", User("Ada"), metadata={"source": "test"})
    user = memory.get("user")
    found: list[memory.Entry] = memory.search("ada", filter={"source": "test"}, limit=5)
    removed: int = memory.remove(entry_id=entry_id) + memory.remove(key="user")
    print(user["name"], [entry.created_at.year for entry in found], removed)


def use_integrations() -> None:
    titles: list[str] = [result["title"] for result in google.search("ziet", num_results=3)]
    answer: str = openai.chat([{"role": "user", "content": "Hello"}], model="gpt-4o", temperature=0.5)
    sent: dict[str, Any] = sendgrid.send("user@example.com", "Welcome!", subject="Hello")
    print(titles, answer, sent)


def use_errors() -> None:
    try:
        greet("Ada")
    except InputError as error:
        print(error.problems, error.retryable)
    except ActionError as error:
        print(error.type, error.message, error.traceback, error.code, error.action_id, error.run_id, error.retryable)
    except (OutputError, MemoryValueError, DefinitionError) as error:
        print(error)
    except ZietError as error:
        print(error)


def use_client() -> None:
    with ziet.Client("http://127.0.0.1:7878", "sk_1", timeout=5) as client:
        text: str = client.run(greet, "Ada", times=2)
        fetched: list[str] = client.run(fetch, url="https://example.com")
        page: Page[User] = client.options(timeout=3, metadata={"a": 1}).run(many_hints, date(2026, 1, 2), 3, [], ())
        by_id: dict[str, int] = client.run("shop.add", x=1, y=2)
        run: ziet.Run[str] = client.submit(greet, "Ada")
        waited: str = client.wait(run) + client.wait(run.id, greet, timeout=1) + client.get(run).output
        typed: list[str] = client.get(run.id, fetch).output + client.wait(run.id, fetch)
        again: ziet.Run[str] = client.retry(client.cancel(client.start(run), "why"))
        ids: list[str] = client.submit_many(greet, ({"name": name} for name in ("Ada", "Grace")))
        lines: list[ziet.LogLine] = list(client.logs(run, level="warn"))
        listed: list[ziet.RunSummary] = list(client.runs(action=greet, status=["failed"], parent=run))
        entry_id: str = client.memory(listed[0]).add("key", {"a": 1})
        found: list[memory.Entry] = client.memory(again.id).search("a", limit=3)
    print(text, fetched, page, by_id, waited, typed, ids, lines, entry_id, found)


async def use_async_client() -> None:
    async with ziet.AsyncClient() as client:
        text: str = await client.run(greet, "Ada", times=2)
        both: tuple[str, list[str]] = await asyncio.gather(client.run(greet, "Ada"), client.run(fetch, "https://a"))
        run: ziet.Run[list[str]] = await client.options(start=False).submit(fetch, "https://example.com")
        output: list[str] = await client.wait(run, timeout=3)
        lines: list[str] = [line.text async for line in client.logs(run)]
        statuses: list[str] = [listed.status async for listed in client.runs(text="a")]
        ids: list[str] = await client.submit_many("shop.add", [{"x": 1}])
        removed: int = await client.memory(run).remove(key="key")
    print(text, both, output, lines, statuses, ids, removed)


def use_client_errors(client: ziet.Client) -> None:
    try:
        client.run(greet, "Ada")
    except ziet.RunFailed as error:
        print(error.error.type, error.error.message, error.traceback, error.run.attempts[0].outcome)
    except ziet.InvalidInput as error:
        print([(fault.pointer, fault.message) for fault in error.errors])
    except ziet.WaitTimeout as error:
        print(error.run_id)
    except ziet.ClientError as error:
        print(error.code, error.status, error.detail, error.request_id)
