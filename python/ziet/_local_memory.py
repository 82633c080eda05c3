"""The memory outside of runs: a list in this process that behaves like the durable one.

What a search matches is written a first time in `ziet-core::memory`; a change here or there is a change in both.
Entries are held as the JSON that a run would have stored, so that a script or a test sees the same values as a run.
"""

from __future__ import annotations

import itertools
import threading
import time
from typing import TYPE_CHECKING, Any

import msgspec

from ziet import _limits
from ziet._errors import MemoryValueError
from ziet._wire import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator


class LocalMemory:
    """A memory in this process; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[Entry] = []
        self._bytes = 0
        self._numbers = itertools.count(1)

    def memory_add(self, key: str, value: bytes, metadata: bytes | None) -> str:
        """Adds an entry and gives its id.

        Raises:
            MemoryValueError: There is no room for it.
        """
        created_at = time.time_ns() // 1_000_000
        with self._lock:
            entry = Entry(f"local-{next(self._numbers)}", key, value, metadata, created_at, None, None)
            held = self._bytes + _size(entry)
            excess = _limits.too_large(held, _limits.MAX_MEMORY_BYTES)
            if excess:
                error = MemoryValueError(f"the memory would hold {excess}")
                error.code = "memory_full"
                raise error
            self._entries.append(entry)
            self._bytes = held
        return entry.entry_id

    def memory_get(self, key: str) -> bytes | None:
        """The JSON of the key's newest value, None if there is none."""
        return next((entry.value for entry in self._newest_first() if entry.key == key), None)

    def memory_search(self, query: str | None, filter: bytes | None, limit: int) -> list[Entry]:
        """The newest entries that have all words of the query and all of the filter's metadata."""
        words = (query or "").lower().split()
        wanted: dict[str, Any] = {} if filter is None else msgspec.json.decode(filter)
        found = (entry for entry in self._newest_first() if _has_words(entry, words) and _has_metadata(entry, wanted))
        return list(itertools.islice(found, limit))

    def memory_remove(self, entry_id: str | None, key: str | None) -> int:
        """Removes the entry of that id, or all entries of that key; gives how many there were."""
        with self._lock:
            before = len(self._entries)
            if entry_id is not None:
                self._entries = [entry for entry in self._entries if entry.entry_id != entry_id]
            else:
                self._entries = [entry for entry in self._entries if entry.key != key]
            self._bytes = sum(map(_size, self._entries))
            return before - len(self._entries)

    def clear(self) -> None:
        """Removes everything."""
        with self._lock:
            self._entries, self._bytes = [], 0

    def _newest_first(self) -> list[Entry]:
        with self._lock:
            return self._entries[::-1]


local_memory = LocalMemory()
"""The one memory of this process."""


def _size(entry: Entry) -> int:
    """What an entry takes of its memory's limit."""
    return len(entry.key.encode()) + len(entry.value) + len(entry.metadata or b"")


def _has_words(entry: Entry, words: list[str]) -> bool:
    if not words:
        return True
    # A word has no white space in it, so it cannot match across two of the texts.
    text = "\n".join([entry.key, *_texts(msgspec.json.decode(entry.value))]).lower()
    return all(word in text for word in words)


def _texts(value: Any) -> Iterator[str]:
    """All keys and values below a JSON value, as text; numbers, true and false as JSON writes them, null not at all."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, child in value.items():  # pyright: ignore[reportUnknownVariableType]
            yield key
            yield from _texts(child)
    elif isinstance(value, list):
        for child in value:  # pyright: ignore[reportUnknownVariableType]
            yield from _texts(child)
    elif value is not None:
        yield msgspec.json.encode(value).decode()


def _has_metadata(entry: Entry, wanted: dict[str, Any]) -> bool:
    if not wanted:
        return True
    metadata: dict[str, Any] = {} if entry.metadata is None else msgspec.json.decode(entry.metadata)
    return all(key in metadata and _equal(metadata[key], value) for key, value in wanted.items())


def _equal(a: Any, b: Any) -> bool:
    """Whether two JSON values are equal: 1 and 1.0 are, 1 and true are not, though Python's `==` says so."""
    if type(a) in (int, float) and type(b) in (int, float):
        return a == b
    return msgspec.json.encode(a, order="deterministic") == msgspec.json.encode(b, order="deterministic")
