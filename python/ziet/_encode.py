"""Values of users become JSON here: outputs, arguments of child runs, memory values and their metadata.

It owns what counts as JSON and how a value that is not is described. It imports msgspec, so nothing that `import ziet`
loads may import it at its top.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import sys
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import msgspec

from ziet import _limits
from ziet._advice import a_type, advice, is_secret, library_advice, type_name
from ziet._errors import MemoryValueError
from ziet._fields import is_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LEAVES = frozenset(
    [
        *(str, int, bool, type(None), bytes, bytearray, memoryview),
        *(datetime.datetime, datetime.date, datetime.time, datetime.timedelta),
        *(decimal.Decimal, uuid.UUID, msgspec.Raw),
    ]
)
"""Types without children in which no NaN can hide."""

_PLAIN_FORMS: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    (bytes, bytes),
    (datetime.datetime, lambda value: datetime.datetime.fromisoformat(datetime.datetime.isoformat(value))),
    (datetime.date, lambda value: datetime.date.fromordinal(value.toordinal())),
    (datetime.time, lambda value: datetime.time.fromisoformat(datetime.time.isoformat(value))),
    (datetime.timedelta, lambda value: datetime.timedelta(value.days, value.seconds, value.microseconds)),
    (decimal.Decimal, decimal.Decimal),
    (collections.deque, list),
)
"""What msgspec does not take of a subclass, or not at all, and how it is made plain."""

_ENCODING_ERRORS = (TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError)
"""What msgspec raises for what it cannot encode; RuntimeError covers RecursionError and NotImplementedError."""


class Unencodable(Exception):
    """A value is not JSON."""

    path: str
    """Where in the value, such as `.rows[3].when`; empty for the value itself."""
    type_name: str
    """The type of what stands there."""
    reason: str
    """What is wrong with it and what to do, such as `is a pandas.Timestamp: use .isoformat()` or `is NaN`."""

    def __init__(self, path: str, type_name: str, reason: str) -> None:
        super().__init__(f"{path or 'it'} {reason}")
        self.path = path
        self.type_name = type_name
        self.reason = reason

    def text(self, root: str) -> str:
        """The whole text, where `root` is what the value is called."""
        return f"{root}{self.path} {self.reason}"


def encode(value: object, *, deterministic: bool = False) -> bytes:
    """The JSON of a value: JSON's own types and what msgspec makes of others (datetimes, dataclasses, enums, sets, …).

    With `deterministic`, equal values give equal bytes: sets and the keys of dicts are sorted.

    Raises:
        Unencodable: Something in it is not JSON, is NaN or infinite, or the value contains itself.
    """
    try:
        data = _encoded(value, True) if deterministic else _plain_encoder.encode(value)
    except _ENCODING_ERRORS as error:
        raise _culprit(value, error) from None
    # msgspec writes NaN and infinities as null, so only a value with a null in it has to be searched for them.
    if b"null" in data and _has_nan(value):
        raise _nan(value)
    return data


def encode_memory(key: str, value: object) -> bytes:
    """The JSON of a memory value.

    Raises:
        MemoryValueError: It is not JSON or over 6 MB.
    """
    return _encode_part(key, "value", value)


def encode_metadata(key: str, metadata: object) -> bytes | None:
    """The JSON of a memory entry's metadata, None if it has none.

    Raises:
        MemoryValueError: It is no dict with text as keys, not JSON, or over 1 MB.
    """
    if metadata is None:
        return None
    if not _is_object(metadata):
        raise MemoryValueError(
            f"memory key {quoted(key)}: metadata must be a dict with text as keys, got {short(metadata)}"
        )
    return _encode_part(key, "metadata", metadata, _limits.MAX_METADATA_BYTES)


def encode_filter(filter: object) -> bytes | None:
    """The JSON of a search's filter, None if it has none.

    Raises:
        MemoryValueError: It is no dict with text as keys, not JSON, or over 1 MB.
    """
    if filter is None:
        return None
    if not _is_object(filter):
        raise MemoryValueError(f"filter of memory.search must be a dict with text as keys, got {short(filter)}")
    try:
        data = encode(filter)
    except Unencodable as error:
        raise MemoryValueError(f"filter of memory.search is not JSON: {error.text('filter')}") from None
    excess = _limits.too_large(len(data), _limits.MAX_METADATA_BYTES)
    if excess:
        raise MemoryValueError(f"filter of memory.search is {excess}")
    return data


def quoted(text: str) -> str:
    """Text as a JSON string, however odd it is."""
    return msgspec.json.encode(text.encode("utf-8", "backslashreplace").decode()).decode()


def short(value: object, limit: int = 80) -> str:
    """A value as JSON, else as Python shows it, cut at `limit` characters."""
    try:
        text = _encoded(value, False).decode()
    except _ENCODING_ERRORS:
        try:
            text = repr(value)
        except Exception:  # noqa: BLE001 - telling of one mistake must not fail on another
            text = f"a {type(value).__name__}"
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _is_object(value: Any) -> bool:
    return _is_dict(value) and all(isinstance(key, str) for key in value)


def _is_dict(value: object) -> bool:
    return isinstance(value, dict)


def _is_array(value: object) -> bool:
    return isinstance(value, (list, tuple, set, frozenset, collections.deque))


def _encode_part(key: str, root: str, value: object, limit: int = _limits.MAX_JSON_BYTES) -> bytes:
    part = f"the {root}"
    try:
        data = encode(value)
    except Unencodable as error:
        raise MemoryValueError(f"memory key {quoted(key)}: {part} is not JSON: {error.text(root)}") from None
    excess = _limits.too_large(len(data), limit)
    if excess:
        raise MemoryValueError(f"memory key {quoted(key)}: {part} is {excess}")
    return data


def _hook(value: Any) -> Any:
    """Subclasses of what is JSON are what they are subclasses of, and some more types have a form of their own."""
    # Of the class, since a mock has any attribute, and a model that is itself returned has those of its instances.
    kind = cast("Any", type(value))
    serializer = getattr(kind, "__pydantic_serializer__", None)
    if serializer is not None:
        # Without fields that are computed, since nothing is made from these.
        plain = serializer.to_python(value, mode="json", by_alias=True, round_trip=True)
        if _is_masked(value, plain):
            raise NotImplementedError
        return plain
    if is_path(kind):
        return str(value)
    if library_advice(value) is None:
        for base, plain in _PLAIN_FORMS:
            if isinstance(value, base):
                return plain(value)
    raise NotImplementedError


def _is_masked(model: Any, plain: Any) -> bool:
    """Whether the JSON of a model has stars where a secret stands, so that what it holds would be lost on the way."""
    if "pydantic.types" not in sys.modules:
        return False
    secrets = [item for item in _all_inside(model) if is_secret(item) and item.get_secret_value() not in ("", b"")]
    data = _plain_encoder.encode(plain) if secrets else b""
    # One of bytes shows its stars as b'...', and becomes only the stars.
    return any(str(secret).removeprefix("b'").removesuffix("'").encode() in data for secret in secrets)


_plain_encoder = msgspec.json.Encoder(enc_hook=_hook)
_sorting_encoder = msgspec.json.Encoder(enc_hook=_hook, order="deterministic")


def _encoded(value: object, deterministic: bool) -> bytes:
    if not deterministic:
        return _plain_encoder.encode(value)
    try:
        return _sorting_encoder.encode(value)
    except TypeError:
        # A set whose elements cannot be compared has no order to bring it in, yet it is JSON.
        return _plain_encoder.encode(value)


def _culprit(value: Any, error: Exception) -> Unencodable:
    """Follows the failure down to the innermost value that cannot be encoded."""
    path = ""
    while not isinstance(error, RecursionError):
        for step, child in _children(value):
            try:
                _plain_encoder.encode(child)
            except _ENCODING_ERRORS as inner:
                value, path, error = child, path + step, inner
                break
        else:
            break
    return Unencodable(path, type_name(value), _reason(value, error))


def _reason(value: Any, error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "contains itself or is nested too deeply"
    if isinstance(error, UnicodeEncodeError):
        return "has text that is not valid Unicode"
    if _is_dict(value):
        for key in value:
            try:
                _plain_encoder.encode({key: None})
            except _ENCODING_ERRORS:
                return f"has a key that is {a_type(key)}: use a text"
    if hasattr(cast("Any", type(value)), "__pydantic_serializer__") and not is_secret(value):
        return f"is {a_type(value)} that pydantic cannot serialize: {error}"
    return f"is {a_type(value)}: {advice(value)}"


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    """What a value contains, each with its step of the path."""
    if _is_dict(value):
        for key, child in value.items():
            yield step_text(key), child
    elif _is_array(value):
        for index, child in enumerate(value):
            yield f"[{index}]", child
    else:
        for name in _fields(value):
            yield f".{name}", getattr(value, name, None)


def step_text(key: object) -> str:
    """A step into a value: `.rows`, `[3]`, or `["a key"]` where it is no name."""
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{short(key)}]"


def _fields(value: object) -> Iterable[str]:
    """The names of the fields of a dataclass, a Struct or an attrs object, none for any other."""
    kind = type(value)
    attrs = getattr(kind, "__attrs_attrs__", None)
    if attrs is not None:
        return [attribute.name for attribute in attrs]
    for attribute in ("__dataclass_fields__", "__struct_fields__", "__pydantic_fields__"):
        if hasattr(kind, attribute):
            return [*getattr(kind, attribute), *(getattr(value, "__pydantic_extra__", None) or ())]
    return ()


def _inside(value: Any) -> Iterable[Any]:
    """What a value contains, without the cost of telling where."""
    if _is_dict(value):
        return value.values()
    if _is_array(value):
        return value
    if isinstance(value, enum.Enum):
        return (value.value,)
    return [getattr(value, name, None) for name in _fields(value)]


def _all_inside(value: Any) -> Iterator[Any]:
    """A value and all that it contains, except for `_LEAVES`."""
    stack: list[Any] = [value]
    while stack:
        item = stack.pop()
        if type(item) not in _LEAVES:
            yield item
            stack.extend(_inside(item))


def _has_nan(value: Any) -> bool:
    # Only NaN and the infinities differ from themselves like this.
    return any(isinstance(item, float) and item - item != 0 for item in _all_inside(value))


def _nan(value: Any) -> Unencodable:
    """Follows a NaN or an infinity down to where it stands."""
    path = ""
    while not isinstance(value, float):
        found = next(((step, child) for step, child in _children(value) if _has_nan(child)), None)
        if found is None:
            break
        path += found[0]
        value = found[1]
    reason = "is infinite" if isinstance(value, float) and value == value else "is NaN"
    return Unencodable(path, type_name(value), reason)
