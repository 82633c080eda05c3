# pyright: strict
"""Idiomatic code: nothing here may be an error under `pyright --strict`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from ziet import Action, ActionError, InputError, memory
from ziet.integrations import google, openai, sendgrid, stripe


@dataclass
class User:
    name: str
    age: int = 0


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


@Action(description="Fetch")
async def fetch(url: str) -> list[str]:
    return [url]


@Action(description="Nothing")
def nothing() -> None:
    return None


async def use_async() -> list[str]:
    fetched: list[str] = await fetch("https://example.com")
    waiting: Awaitable[list[str]] = fetch(url="https://example.com")
    return fetched + await waiting


def use() -> None:
    text: str = greet("Ada", times=2)
    same: str = greet.local("Ada")
    signature: Callable[[str], str] = greet
    intent: dict[str, Any] = charge_customer(5, User("Ada"), order="7")
    facts: tuple[str, str, str, int, int] = (greet.id, greet.name, greet.description, greet.timeout, greet.retries)
    nothing()
    print(text, same, signature, intent, facts)


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
