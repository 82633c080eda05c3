"""Shows the local variables of frames, with `--locals`: short, and whatever the values are.

A value may be huge, its `repr` may raise, never return, or tell a secret. So containers are shown piece by piece until
there is enough, what a class generates as its `repr` is made here from the fields, and the rest has two seconds in
a thread of its own.
"""

from __future__ import annotations

import collections
import os
import re
import threading
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from ziet import _wire
from ziet._action import ActionFunction

_SECONDS = 2.0
"""For all values of a failure together."""
_MOST = 20
"""Variables of one frame."""
_LONGEST = 100
"""Characters of a name and of a value each."""
_DEEPEST = 4

_HIDDEN = "…hidden…"
_SECRET = re.compile(
    r"(?i:passw(or)?d|passphrase|secret|token(?!s|i)|authorization|credential|api_?key|[_-]key($|_))|[a-z]Key"
)
_DULL = (
    *(types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType, type, ActionFunction),
    *(types.GenericAlias, types.UnionType),
)


def fill(frames: list[tuple[_wire.Frame, types.FrameType]]) -> None:
    """Puts their variables into the frames, as far as they can be shown in time."""
    shown: list[list[_wire.Local]] = [[] for _ in frames]

    def show_all() -> None:
        for (_, running), into in zip(frames, shown, strict=True):
            _show(running, into)

    thread = threading.Thread(target=show_all, name="ziet-locals", daemon=True)
    thread.start()
    thread.join(_SECONDS)
    for (frame, _), variables in zip(frames, shown, strict=True):
        frame.locals = [_wire.Local(one.name, one.value) for one in variables]


def _show(running: types.FrameType, into: list[_wire.Local]) -> None:
    for name, value in list(running.f_locals.items()):
        if name.startswith(("__", ".")) or isinstance(value, _DULL):
            continue
        if len(into) == _MOST:
            break
        into.append(local := _wire.Local(_clean(name)[:_LONGEST], "<its repr takes too long>"))
        local.value = _clean(_named(name, value, 0))


def _named(name: object, value: Any, depth: int) -> str:
    """The value of a variable, a field or a key, unless its name looks like that of a secret."""
    if value is not None and not isinstance(value, bool) and isinstance(name, str) and _SECRET.search(name):
        return _HIDDEN
    return _text(value, depth)


def _text(value: Any, depth: int) -> str:
    try:
        return _shortened(_shown(value, depth + 1))
    except BaseException as broken:  # noqa: BLE001 - the user's code may raise anything
        return f"<its repr raised {type(broken).__name__}>"


def _shown(value: Any, depth: int) -> str:
    kind: Any = cast(Any, type(value))
    # A class that was given a `repr` of its own has it for a reason: what is below would tell more.
    for base, show in _BY_TYPE:
        if kind.__repr__ is base.__repr__:
            return show(value, depth) if depth < _DEEPEST else "..."
    fields = _fields(kind)
    if fields is not None:
        return _with_fields(value, fields, depth) if depth < _DEEPEST else "..."
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"<{kind.__qualname__} of shape {tuple(cast('tuple[object, ...]', shape))}>"
    return " ".join(repr(value).split())


def _integer(value: int, _: int) -> str:
    return repr(value) if value.bit_length() <= 300 else f"<{type(value).__name__} of {value.bit_length()} bits>"


def _beginning(value: Any, _: int) -> str:
    text = repr(value[:_LONGEST])
    return text + "..." if len(value) > _LONGEST else text


def _sequence(opened: str, closed: str, base: Any) -> Callable[[Any, int], str]:
    def show(value: Any, depth: int) -> str:
        # As the base does it: a class that counts on its own way of going through it has its own `repr` too.
        shown = _joined(_text(one, depth) for one in base.__iter__(value))
        if not len(value):
            return repr(value)
        if type(value) is not base or base in (frozenset, collections.deque):
            return f"{type(value).__qualname__}({opened}{shown}{closed})"
        return f"{opened}{shown}{',' if base is tuple and len(value) == 1 else ''}{closed}"

    return show


def _mapping(value: Mapping[Any, Any], depth: int) -> str:
    # An object that is a mapping in its own way is asked, a dict is read as what it is.
    base: Any = dict if isinstance(value, dict) else type(value)
    shown = _joined(f"{_text(key, depth)}: {_named(key, one, depth)}" for key, one in base.items(value))
    return f"{{{shown}}}" if type(value) is dict else f"{type(value).__qualname__}({{{shown}}})"


def _joined(pieces: Iterable[str]) -> str:
    """As many as are looked at."""
    joined: list[str] = []
    room = _LONGEST
    for piece in pieces:
        if room < 0:
            joined.append("...")
            break
        joined.append(piece)
        room -= len(piece) + 2
    return ", ".join(joined)


def _namespace(value: types.SimpleNamespace, depth: int) -> str:
    return _with_fields(value, list(vars(value)), depth)


def _error(value: BaseException, depth: int) -> str:
    return f"{type(value).__qualname__}({_joined(_text(one, depth) for one in value.args)})"


def _plain(value: object, _: int) -> str:
    return f"<{type(value).__qualname__} object>"


_BY_TYPE: list[tuple[type[Any], Callable[[Any, int], str]]] = [
    (int, _integer),
    (str, _beginning),
    (bytes, _beginning),
    (bytearray, _beginning),
    (list, _sequence("[", "]", list)),
    (tuple, _sequence("(", ")", tuple)),
    (set, _sequence("{", "}", set)),
    (frozenset, _sequence("{", "}", frozenset)),
    (collections.deque, _sequence("[", "]", collections.deque)),
    (dict, _mapping),
    (collections.OrderedDict, _mapping),
    (collections.defaultdict, _mapping),
    (collections.Counter, _mapping),
    (collections.UserDict, _mapping),
    (collections.ChainMap, _mapping),
    (types.MappingProxyType, _mapping),
    (type(os.environ), _mapping),
    (types.SimpleNamespace, _namespace),
    (BaseException, _error),
    (object, _plain),
]
"""How values are shown whose `repr` is that of one of these, which writes all of them."""


def _fields(kind: type[Any]) -> list[str] | None:
    """What a generated `repr` of the class shows; None if it was written by hand."""
    shows: Any = kind.__repr__
    if hasattr(kind, "__dataclass_fields__") and hasattr(shows, "__wrapped__"):
        return [field.name for field in kind.__dataclass_fields__.values() if field.repr]
    if hasattr(kind, "_fields") and getattr(shows, "__module__", "") == "collections":
        return list(kind._fields)
    if hasattr(kind, "__struct_fields__") and not isinstance(shows, types.FunctionType):
        return list(kind.__struct_fields__)
    if hasattr(kind, "__attrs_attrs__") and "attrs generated" in _file_of(shows):
        return [field.name for field in kind.__attrs_attrs__ if field.repr]
    if hasattr(kind, "__pydantic_fields__") and getattr(shows, "__module__", "").startswith("pydantic"):
        return [name for name, field in kind.__pydantic_fields__.items() if field.repr]
    return None


def _with_fields(value: Any, names: list[str], depth: int) -> str:
    missing = object()
    found = ((name, getattr(value, name, missing)) for name in names)
    shown = _joined(f"{name}={_named(name, one, depth)}" for name, one in found if one is not missing)
    return f"{type(value).__qualname__}({shown})"


def _file_of(function: Any) -> str:
    return getattr(getattr(function, "__code__", None), "co_filename", "")


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _clean(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
