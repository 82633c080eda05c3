"""The limits that Python checks itself, so that its errors can name the parameter, the key or the function.

`ziet-core` holds the table of all limits; a value here is a copy of the one there.
"""

from __future__ import annotations

MAX_JSON_BYTES = 6 * 1024 * 1024
"""The most that an input, an output or a memory value may take as JSON, in bytes."""

MAX_METADATA_BYTES = 1024 * 1024
"""The most that the metadata of a memory entry, or a search's query or filter, may take as JSON, in bytes."""

MAX_MEMORY_BYTES = 100 * 1024 * 1024
"""The most that all entries of one memory may take: keys, values and metadata, in bytes."""

MIN_TIMEOUT_SECONDS = 1
MAX_TIMEOUT_SECONDS = 900
"""An attempt may take 1 to 900 seconds of its own time."""

MAX_RETRIES = 100
"""A run may be retried 0 to 100 times after its first attempt."""

ID_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:-")
"""What an action's id may consist of."""

MAX_ID_LENGTH = 128
"""The longest id of an action, in characters."""

MAX_KEY_LENGTH = 512
"""The longest key of a memory entry, in characters."""

MAX_LINE_BYTES = 16 * 1024
"""Bytes of a line that is printed or logged; the rest is cut off, and the line says so."""

_BYTES_PER_MB = 1024 * 1024

MIN_ATTEMPT_MEMORY_BYTES = 16 * _BYTES_PER_MB
MAX_ATTEMPT_MEMORY_BYTES = 10 * 1024 * _BYTES_PER_MB
"""An attempt may use 16 MB to 10 GB of memory, on top of what the imported project takes."""

_UNITS = {"MB": _BYTES_PER_MB, "GB": 1024 * _BYTES_PER_MB}


def memory_bytes(text: object) -> int | None:
    """The bytes that `512MB` or `1.5 gb` means; None if it is not such a text."""
    if not isinstance(text, str):
        return None
    text = text.replace(" ", "").upper()
    number, unit = text[:-2], _UNITS.get(text[-2:])
    whole, _, part = number.partition(".")
    digits = whole + part
    if unit is None or not (digits.isascii() and digits.isdigit()):
        return None
    # A number beyond all floats is as much too large as any other; 20 digits are enough to see that.
    return round(float(f"{whole[:20]}.{part}") * unit)


def size_text(nbytes: int, limit: int = MAX_JSON_BYTES) -> str:
    """How a size is told to people: `7.0 MB`, where a MB is 1024 * 1024 bytes.

    A size over the limit gets as many decimals as it takes to read as more than that.
    """
    size = nbytes / _BYTES_PER_MB
    decimals = 1
    while nbytes > limit and float(f"{size:.{decimals}f}") * _BYTES_PER_MB <= limit:
        decimals += 1
    return f"{size:.{decimals}f} MB"


def too_large(nbytes: int, limit: int = MAX_JSON_BYTES) -> str | None:
    """`7.0 MB, limit 6 MB` if JSON of this many bytes is over the limit, else None."""
    if nbytes <= limit:
        return None
    return f"{size_text(nbytes, limit)}, limit {limit // _BYTES_PER_MB} MB"
