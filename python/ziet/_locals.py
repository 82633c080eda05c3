"""Shows the local variables of frames, with `--locals`: short, and whatever the values are.

A value may be huge, its `repr` may raise, never return, or tell a secret. So containers are shown piece by piece until
there is enough, what a class generates as its `repr` is made here from the fields, and the rest has two seconds in
a thread of its own. Secrets are known by the name that they have, or that stands before them, and by their form.
"""

from __future__ import annotations

import collections
import os
import re
import threading
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

from ziet import _wire
from ziet._action import ActionFunction
from ziet._stack import clean

_SECONDS = 2.0
"""For all values of a failure together."""
_MOST = 20
"""Variables of one frame."""
_LONGEST = 100
"""Characters of a name and of a value each."""
_READ = 10 * _LONGEST
"""Characters that are looked through for secrets, so that one is known although its end is not shown."""
_DEEPEST = 4

_HIDDEN = "…hidden…"
_SECRET = re.compile(
    r"(?i:passw(or)?d|passphrase|pwd|secret|token(?!s|i)|auth(?!or(?!i[sz]))|cred(s|ential|$|[_-])|api_?key|[_-]key($|_)"
    r"|cookie|bearer|session|dsn|jwt|signature|private)|[a-z]Key"
)
_WORD = re.compile(r"[\w.-]+")
# A name is looked for from its start only: from each of its characters it would take long.
_NAME_BEFORE = re.compile(r"""(?<![\w.-])([\w.-]+)[\\"']*\s*[=:]\s*""")
_VALUE_AFTER = re.compile(
    r"""(?!(?:None|True|False|null|true|false)\b)"""
    r"""(?:\\*(["']).*?(?:\1|$)|(?:(?i:basic|bearer|digest|token)\s+)?[^\s&;,'")\]}>]+)"""
)
_BY_FORM = re.compile(r"""(://[^\s:@/]*:)\S+(?=@)|(\b(?i:bearer)\s+)[^\s,;'")\]}>]+""")
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
        # Of its type, since a class may put something that raises in the place of `__class__`.
        if name.startswith(("__", ".")) or issubclass(type(value), _DULL):
            continue
        if len(into) == _MOST:
            break
        into.append(local := _wire.Local(clean(name)[:_LONGEST], "<its repr takes too long>"))
        local.value = clean(_named(name, value, 0))


def _named(name: object, value: Any, depth: int) -> str:
    """The value of a variable, a field or a key, unless its name looks like that of a secret."""
    if value is None or value is True or value is False or not _is_secret(name):
        return _text(value, depth)
    return _HIDDEN


def _is_secret(name: object) -> bool:
    return _SECRET.search(_as_name(name)) is not None


def _as_name(value: Any) -> str:
    """The beginning of what is text or bytes; of anything else nothing."""
    kind = cast(Any, type(value))
    if issubclass(kind, bytes):
        return bytes.decode(value[:_READ], "latin-1")
    return value[:_READ] if issubclass(kind, str) else ""


def _masked(text: str) -> str:
    """Without what follows the name of a secret, as in `password=…`, and what looks like one."""
    pieces: list[str] = []
    shown = 0
    for name in _NAME_BEFORE.finditer(text):
        value = _VALUE_AFTER.match(text, name.end()) if name.start() >= shown and _is_secret(name[1]) else None
        if value:
            pieces += text[shown : name.end()], _HIDDEN
            shown = value.end()
    return _BY_FORM.sub(rf"\1\2{_HIDDEN}", "".join((*pieces, text[shown:])))


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
    return _masked(" ".join(repr(value)[:_READ].split()))


def _integer(value: int, _: int) -> str:
    return repr(value) if value.bit_length() <= 300 else f"<{type(value).__name__} of {value.bit_length()} bits>"


def _string(value: str, _: int) -> str:
    return repr(_masked(value[:_READ]))


def _bytes(value: bytes | bytearray, _: int) -> str:
    return _masked(repr(value[:_READ]))


def _sequence(opened: str, closed: str, base: Any) -> Callable[[Any, int], str]:
    ordered = base not in (set, frozenset)

    def show(value: Any, depth: int) -> str:
        # As the base does it: a class that counts on its own way of going through it has its own `repr` too.
        shown = _joined(_elements(base.__iter__(value), len(value) if ordered else 0, depth))
        if not len(value):
            return repr(value)
        if type(value) is not base or base in (frozenset, collections.deque):
            return f"{type(value).__qualname__}({opened}{shown}{closed})"
        return f"{opened}{shown}{',' if base is tuple and len(value) == 1 else ''}{closed}"

    return show


def _elements(values: Iterable[Any], number: int, depth: int) -> Iterator[str]:
    """The values, of which an option names what follows it; if their `number` is two, any text may."""
    before = ""
    for one in values:
        is_name = (number == 2 or before.startswith("-")) and _WORD.fullmatch(before)
        yield _named(before if is_name else "", one, depth)
        before = _as_name(one)


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
    (str, _string),
    (bytes, _bytes),
    (bytearray, _bytes),
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
