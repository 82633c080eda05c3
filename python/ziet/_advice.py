"""What to do with values that are not JSON, by their type.

The libraries that the types come from are never imported: a value that is there has its library loaded.
"""

from __future__ import annotations

import collections.abc
import io
import types
from typing import Any

_OTHERWISE = "use a dict or a dataclass instead"
"""The advice for types that nothing is known of."""

_SECRETS = ("SecretStr", "SecretBytes", "Secret")

_OF_LIBRARIES: dict[str, dict[str, str]] = {
    "numpy": {
        "ndarray": "use .tolist()",
        "datetime64": "use str(...) of it, or .astype('datetime64[us]').item() for a datetime",
        "timedelta64": "use .astype('timedelta64[us]').item() for a timedelta",
        "complexfloating": "use [float(x.real), float(x.imag)], or str(...) of it",
        "generic": "use .item()",
    },
    "pandas": {
        "NaTType": "use None instead, such as None if pandas.isna(x) else x",
        "NAType": "use None instead, such as None if pandas.isna(x) else x",
        "Timestamp": "use .isoformat(), or .to_pydatetime() for a datetime",
        "Timedelta": "use .isoformat(), or .to_pytimedelta() for a timedelta",
        "DataFrame": 'use .to_dict("records")',
        "Series": "use .to_list() or .to_dict()",
        "Index": "use .to_list()",
        "ExtensionArray": "use .tolist()",
        "BaseOffset": "use str(...) of it",
        "_Period": "use str(...) of it",
        "Interval": "use str(...) of it",
    },
    "polars": {"DataFrame": "use .to_dicts()", "Series": "use .to_list()"},
    "torch": {"Tensor": "use .tolist()"},
    "pydantic": dict.fromkeys(
        _SECRETS, "use .get_secret_value(), in a model by a @field_serializer, since of itself it shows only stars"
    ),
    "unittest": {"NonCallableMock": "use the value that it stands for"},
}
"""By the package and the name of the class or of a base."""

_OF_KINDS: tuple[tuple[Any, str], ...] = (
    ((types.CoroutineType, collections.abc.Awaitable), "await it"),
    ((types.AsyncGeneratorType, collections.abc.AsyncIterator), "use [item async for item in ...]"),
    (types.ModuleType, "use what it contains"),
    (type, "use its name, or make an instance of it"),
    ((types.FunctionType, types.BuiltinFunctionType, types.MethodType), "call it, and use what it returns"),
    (BaseException, "raise it, or use str(...) of it"),
    (io.IOBase, "use what it contains, or its path"),
    (complex, "use [x.real, x.imag], or str(...) of it"),
    (collections.abc.Mapping, "use dict(...) of it"),
    ((collections.abc.Iterator, collections.abc.Collection), "use list(...) of it"),
)


def library_advice(value: object) -> str | None:
    """What to do with a value of a well-known library, None for any other and for those that are a text or a float."""
    if isinstance(value, (str, float)):
        return None
    for kind in type(value).__mro__:
        found = _OF_LIBRARIES.get(kind.__module__.partition(".")[0], {}).get(kind.__name__)
        if found is not None:
            return found
    return None


def advice(value: object) -> str:
    """What to do with a value that is not JSON."""
    found = library_advice(value)
    return found or next((advice for kind, advice in _OF_KINDS if isinstance(value, kind)), _OTHERWISE)


def is_secret(value: object) -> bool:
    """Whether it is one of pydantic's that show stars instead of what they hold."""
    return any(kind.__name__ in _SECRETS and kind.__module__ == "pydantic.types" for kind in type(value).__mro__)


def type_name(value: object) -> str:
    """The name of its type, with the package for those of well-known libraries: `pandas.Timestamp`, `Foo`."""
    kind = type(value)
    package = kind.__module__.partition(".")[0]
    return f"{package}.{kind.__qualname__}" if package in _OF_LIBRARIES else kind.__qualname__


def a_type(value: object) -> str:
    """The name of its type with its article, `None` for None."""
    if value is None:
        return "None"
    name = type_name(value)
    return f"an {name}" if name[0] in "aeiouAEIOU" else f"a {name}"
