"""What a run tree shares: values under keys, durable when `add` returns, kept when an attempt fails.

Inside a run everything goes to the run's memory; outside, to a memory of this process with the same behaviour, which
ends with it. Values are JSON: what goes in as a datetime or a dataclass comes out as text or a dict.
"""

from __future__ import annotations

import os

from ziet import _context, _limits, _registry
from ziet._context import RUN_VARIABLE
from ziet._errors import MemoryValueError, ZietError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ziet._entry import Entry

__all__ = ["Entry", "add", "get", "remove", "search"]

_ERROR_SUFFIX = ".error"
_MOST_ENTRIES = 2**31
"""More than any memory holds, and still a number that the messages to the Rust program can carry."""


def __getattr__(name: str) -> Any:
    if name != "Entry":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ziet._entry import Entry

    return Entry


def add(key: str, value: object, metadata: Mapping[str, Any] | None = None) -> str:
    """Adds an entry and gives its id. Earlier entries of the key stay; `get` finds the newest.

    Args:
        key: 1 to 512 characters, without NUL. `<id of an action>.error` is kept for the errors of that action.
        value: Anything that becomes JSON of at most 6 MB: datetimes, dataclasses, enums and the like included.
        metadata: A dict to find the entry by, see `search`.

    Raises:
        MemoryValueError: The key is not allowed; value or metadata are not JSON (NaN and infinities are not) or over
            6 MB.
    """
    from ziet._encode import encode_memory, encode_metadata

    _check_key(key)
    if key.endswith(_ERROR_SUFFIX) and key[: -len(_ERROR_SUFFIX)] in _registry.actions:
        raise MemoryValueError(f"memory key {key!r} is kept for the errors of that action; use another key")
    data = encode_memory(key, value)
    labels = encode_metadata(key, metadata)
    return _memory().memory_add(key, data, labels)


def get(key: str) -> Any:
    """The newest value of a key as a JSON value, None if there is none.

    Raises:
        MemoryValueError: The key is not 1 to 512 characters without NUL.
    """
    _check_key(key)
    data = _memory().memory_get(key)
    return None if data is None else _decode(data)


def search(query: str | None = None, filter: Mapping[str, Any] | None = None, limit: int = 10) -> list[Entry]:
    """The newest entries that match, newest first.

    Args:
        query: Every one of its words must occur in the entry's key or value (in nested keys and values too), in upper
            or lower case, also as a part of a longer word. None or "" matches everything.
        filter: Each of its keys must be in the entry's metadata, with an equal JSON value.
        limit: The most entries to give, at least 1.

    Raises:
        ValueError: The limit is under 1.
        MemoryValueError: The filter is no dict with text as keys, or not JSON.
        TypeError: The query is no text or the limit no whole number.
    """
    from ziet._encode import encode_filter

    if query is not None and not isinstance(query, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"query of memory.search must be a text or None, got {query!r}")
    excess = _limits.too_large(len((query or "").encode("utf-8", "replace")), _limits.MAX_METADATA_BYTES)
    if excess:
        raise MemoryValueError(f"query of memory.search is {excess}")
    if not isinstance(limit, int) or isinstance(limit, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"limit of memory.search must be a whole number, got {limit!r}")
    if limit < 1:
        raise ValueError(f"limit of memory.search must be at least 1, got {limit}")
    found = _memory().memory_search(query, encode_filter(filter), min(limit, _MOST_ENTRIES))
    from ziet._entry import entry

    return [entry(stored) for stored in found]


def remove(*, entry_id: str | None = None, key: str | None = None) -> int:
    """Removes one entry by its id, or all entries of a key, and gives how many were removed.

    Raises:
        TypeError: Neither or both of `entry_id` and `key` are given, or the id is no text.
        MemoryValueError: The key is not 1 to 512 characters without NUL.
    """
    if (entry_id is None) == (key is None):
        raise TypeError("memory.remove takes one of entry_id=… and key=…")
    if key is not None:
        _check_key(key)
    elif not isinstance(entry_id, str):
        raise TypeError(f"entry_id of memory.remove must be a text, got {entry_id!r}")
    return _memory().memory_remove(entry_id, key)


def _check_key(key: object) -> None:
    problem = None
    if not isinstance(key, str):
        problem = f"must be a text, got {key!r}"
    elif not key:
        problem = "must not be empty"
    elif len(key) > _limits.MAX_KEY_LENGTH:
        problem = f"has {len(key)} characters, at most {_limits.MAX_KEY_LENGTH} are allowed"
    elif "\0" in key:
        problem = f"must not contain NUL, got {key!r}"
    elif not _is_unicode(key):
        problem = f"must be valid Unicode, got {key!r}"
    if problem:
        raise MemoryValueError(f"a memory key {problem}")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


if TYPE_CHECKING:
    from ziet._local_memory import LocalMemory


def _memory() -> _context.RunContext | LocalMemory:
    if _context.run is None and RUN_VARIABLE in os.environ:
        raise ZietError("only the process of the action itself can use memory: return what a child process found")
    if _context.run is not None:
        return _context.run
    from ziet._local_memory import local_memory

    return local_memory


def _decode(data: bytes) -> Any:
    from msgspec import json

    return json.decode(data)
