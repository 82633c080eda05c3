"""What the metadata of `Annotated` asks of a value, whichever library it comes from.

Known are `msgspec.Meta`, `annotated_types` and the constraints in pydantic's `Field`; other metadata asks for nothing.
Neither library is imported: whoever wrote the metadata has done that.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import msgspec

Check = tuple[str, Callable[[Any], bool]]
"""What is asked, to be read after the name of the type, and whether a value is so."""


def _matches(value: Any, pattern: str) -> bool:
    import re

    return re.search(pattern, value) is not None


_BOUNDS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "gt": ("> {}", operator.gt),
    "ge": (">= {}", operator.ge),
    "lt": ("< {}", operator.lt),
    "le": ("<= {}", operator.le),
    "multiple_of": ("that is a multiple of {}", lambda value, step: value % step == 0),
    "min_length": ("of length >= {}", lambda value, length: len(value) >= length),
    "max_length": ("of length <= {}", lambda value, length: len(value) <= length),
    "pattern": ("matching regex {!r}", _matches),
    "tz": ("with a time zone: {}", lambda value, wanted: (value.tzinfo is not None) is wanted),
}


def is_pydantics(thing: Any) -> bool:
    """Whether a class or metadata tells pydantic how to make and check values."""
    return hasattr(thing, "__get_pydantic_core_schema__") or _package(thing) == "pydantic"


def constraints(metadata: Iterable[Any]) -> tuple[dict[str, Any], list[Check]]:
    """What metadata asks: as keywords of `msgspec.Meta`, as far as it can say that, and all of it as checks.

    Raises:
        TypeError: A constraint is not known.
    """
    bounds: dict[str, Any] = {}
    checks: list[Check] = []
    for one in _flat(metadata):
        found = {name: getattr(one, name) for name in _BOUNDS if getattr(one, name, None) is not None}
        if hasattr(one, "func"):
            name = getattr(one.func, "__name__", None) or repr(one.func)
            checks.append((f"that fulfils {name}", one.func))
        if type(one).__name__ == "Timezone":
            found["tz"] = one.tz is not None
            if one.tz not in (None, ...):
                checks.append((f"in the time zone {one.tz}", _in_zone(str(one.tz))))
        if is_pydantics(one) and not found:
            raise TypeError(f"pydantic's {one!r} is not known for a type that pydantic cannot make")
        bounds.update(found)
        checks.extend(_check(name, limit) for name, limit in found.items())
    return bounds, checks


def has_foreign(metadata: Iterable[Any]) -> bool:
    """Whether some of the metadata is a constraint that msgspec passes over."""
    return any(not isinstance(one, msgspec.Meta) for one in _flat(metadata))


def _flat(metadata: Iterable[Any]) -> Iterator[Any]:
    """The single constraints, without what is none."""
    for one in metadata:
        if hasattr(one, "__is_annotated_types_grouped_metadata__"):
            yield from _flat(one)
        elif is_pydantics(one) and isinstance(getattr(one, "metadata", None), list):
            yield from _flat(one.metadata)
        elif isinstance(one, msgspec.Meta) or is_pydantics(one) or _package(one) == "annotated_types":
            yield one


def _check(name: str, limit: Any) -> Check:
    text, holds = _BOUNDS[name]
    return text.format(limit), lambda value: holds(value, limit)


def _in_zone(name: str) -> Callable[[Any], bool]:
    return lambda value: str(value.tzinfo) == name


def _package(thing: Any) -> str:
    """The package of the first library class that a thing is an instance of."""
    kinds = cast("list[type]", type(thing).__mro__)
    packages = [kind.__module__.partition(".")[0] for kind in kinds]
    return next((package for package in packages if package in ("pydantic", "annotated_types")), "")
