"""What a project may do with version 0.1 of the package.

A later version must execute it as it stands, so nothing here is ever changed.
"""

import ziet.memory
from ziet import (
    Action,
    ActionError,
    DefinitionError,
    InputError,
    IntegrationError,
    MemoryValueError,
    OutputError,
    ZietError,
    __version__,
    memory,
)
from ziet.integrations import google, openai, sendgrid, stripe
from ziet.memory import Entry

ERRORS = (ActionError, DefinitionError, InputError, IntegrationError, MemoryValueError, OutputError)
assert all(issubclass(error, ZietError) for error in ERRORS)
assert issubclass(MemoryValueError, ValueError)
assert ziet.memory is memory
assert __version__


@Action(
    id="everything",
    name="Everything",
    description="Uses all there is",
    timeout=60,
    retries=1,
    memory="1GB",
    isolation="shared",
    on_lost="rerun",
)
def everything(number: int, note: str = "") -> dict[str, object]:
    entry = memory.add("number", number, metadata={"note": note})
    assert memory.get("number") == number
    found: list[Entry] = memory.search(query="number", filter={"note": note}, limit=5)
    assert [each.entry_id for each in found] == [entry]
    assert (found[0].key, found[0].value, found[0].metadata) == ("number", number, {"note": note})
    assert found[0].run_id
    assert found[0].attempt == 1
    assert found[0].created_at.tzinfo
    assert memory.remove(entry_id=entry) == 1
    assert memory.remove(key="number") == 0
    return {
        "called": doubled(number),
        "local": doubled.local(number),
        "failed": failure(),
        "mocked": len(mocked()),
    }


@Action(description="Doubles")
def doubled(number: int) -> int:
    return number * 2


@Action(description="Fails", retries=0)
def failing() -> None:
    raise KeyError("gone")


def failure() -> list[object]:
    try:
        failing()
    except ActionError as error:
        return [
            error.type,
            error.message,
            error.code,
            error.action_id,
            error.retryable,
            bool(error.run_id),
            bool(error.traceback),
        ]
    return []


def mocked() -> list[object]:
    return [
        google.search("ziet", num_results=1, language="en"),
        openai.chat([{"role": "user", "content": "hello"}], model="gpt-4o", temperature=0.5, max_tokens=5),
        stripe.create_payment_intent(100, "usd", {"order": "1"}, customer="ada", description="a pen"),
        sendgrid.send("ada@example.com", "hello", subject="hi", from_email="bob@example.com", html=True),
    ]
