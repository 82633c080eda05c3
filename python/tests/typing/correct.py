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
