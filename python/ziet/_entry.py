"""An entry of a memory as users see it. Loaded by the first search: `import ziet` must not load what it imports."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from msgspec import json

from ziet import _wire

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Entry(NamedTuple):
    """One entry of a memory."""

    entry_id: str
    """Unique; what `remove` takes."""
    key: str
    value: Any
    """A JSON value."""
    metadata: dict[str, Any] | None
    created_at: datetime
    """When it was added, in UTC, to the millisecond."""
    run_id: str | None
    """The run that added it, None outside runs."""
    attempt: int | None
    """The attempt of that run, counted from 1, None outside runs."""


def entry(stored: _wire.Entry) -> Entry:
    """What a search found."""
    return Entry(
        stored.entry_id,
        stored.key,
        json.decode(stored.value),
        None if stored.metadata is None else json.decode(stored.metadata),
        _EPOCH + timedelta(milliseconds=stored.created_at),
        stored.run_id,
        stored.attempt,
    )
