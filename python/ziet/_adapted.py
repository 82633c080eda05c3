"""What JSON becomes by a type hint, also where msgspec alone would refuse the hint or take it otherwise than meant.

`adapted` gives a hint that msgspec decodes, with classes made on the fly in place of what it cannot: unions of several
texts, lists or objects, paths, pydantic models, constraints that it does not know, and classes that have such a field.
Value to JSON and back by the same hint gives an equal value, unless two members of a union look alike in JSON, such as
a list and a set. How values become JSON is not its matter.

In a union the member that fits is taken. Where several could, these go first: what is not any text, number or dict
(a `datetime` before a `str`, an enum before an `int`), then `int`, `float`, `Decimal`, then texts and dicts, otherwise
the order as written. Of several classes for a JSON object, the one counts that passes over the fewest of its keys, and
then the one with the fewest fields that are not given; where that does not tell, and for lists, the keys further below.
"""

from __future__ import annotations

import collections
import collections.abc
import decimal
import enum
import types
import typing
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from ziet import _fields
from ziet._constraints import constraints, has_foreign, is_pydantics
from ziet._fields import class_of, hint_key, is_alias, is_path, stands_for
from ziet._stand_ins import (
    ChoiceStandIn,
    CollectionStandIn,
    ConstrainedStandIn,
    InnerStandIn,
    ObjectStandIn,
    PathStandIn,
    PydanticStandIn,
    UnionStandIn,
    decoder,
    keys_of,
    stand_in,
    type_adapter,
)
from ziet._type_text import bare, type_text, union_members

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNIONS = (typing.Union, types.UnionType)
_ABSTRACT: dict[Any, Any] = {
    collections.abc.Iterable: list,
    collections.abc.Reversible: list,
    collections.abc.Container: list,
}
_COLLECTIONS: dict[Any, Any] = {
    collections.deque: list,
    collections.OrderedDict: dict,
    collections.Counter: dict,
    collections.defaultdict: dict,
}
_NO_KEYS = (bool, type(None), list, tuple, set, frozenset, dict)
_RANKS: dict[type, int] = {int: 1, float: 2, decimal.Decimal: 3, object: 5} | dict.fromkeys(
    (str, bytes, bytearray, memoryview, dict), 4
)


_LEAVES = frozenset([str, int, float, bool, bytes, type(None)])

_kept: dict[Any, tuple[Any, Any]] = {}
"""By the key of the hint, which is kept with what it became."""

_odd: dict[Any, tuple[Any, bool]] = {}
"""By the key of the hint, which is kept with whether something in it has to be replaced."""


def adapted(hint: Any) -> Any:
    """The hint as msgspec takes it: itself if nothing in it has to be replaced.

    Decoders of it need `dec_hook`.

    Raises:
        TypeError: No JSON can become a value of it. Anything else comes from the classes of the user.
    """
    made: dict[Any, tuple[Any, Any]] = {}
    found = _adapted(hint, made)
    # Only now: one that failed half-way must not be found again.
    _kept.update(made)
    return found


def is_pydantic(hint: Any) -> bool:
    """Whether pydantic makes and checks values of this hint as a whole."""
    if typing.get_origin(hint) is not typing.Annotated:
        origin = typing.get_origin(hint) or hint
        return isinstance(origin, type) and (is_pydantics(origin) or hasattr(origin, "__pydantic_core_schema__"))
    if not any(is_pydantics(metadata) for metadata in hint.__metadata__):
        return False
    try:
        type_adapter(hint)
    except Exception:  # noqa: BLE001 - for a type that it does not know, its constraints can still be checked
        return False
    return True


def _adapted(hint: Any, made: dict[Any, tuple[Any, Any]]) -> Any:
    """`made` has what was made so far, also the stand-ins of classes and aliases above: these may name themselves."""
    if hint is Any or (type(hint) is type and hint in _LEAVES):
        return hint
    key = hint_key(hint)
    known = _kept.get(key) or made.get(key)
    if known is None:
        found = _replaced(hint, key, made) if _is_odd(hint, key) else hint
        known = made[key] = (hint, found)
    return known[1]


def _replaced(hint: Any, key: Any, made: dict[Any, tuple[Any, Any]]) -> Any:
    if is_alias(hint):
        alias = stand_in(InnerStandIn, hint)
        made[key] = (hint, alias)
        alias.inner = _adapted(stands_for(hint), made)
        return alias.inner
    hint = stands_for(hint)
    if hint is None:
        return None
    origin = typing.get_origin(hint) or hint
    arguments = typing.get_args(hint)
    if is_pydantic(hint):
        return stand_in(PydanticStandIn, hint)
    if origin is typing.Annotated:
        return _constrained(hint, _adapted(arguments[0], made))
    if origin in _UNIONS:
        return _union(hint, [_adapted(member, made) for member in arguments])
    if origin is typing.Literal:
        return stand_in(ChoiceStandIn, hint, choices=list(arguments))
    if isinstance(origin, type):
        return _adapted_class(hint, origin, made)
    return origin[tuple(_adapted(argument, made) for argument in arguments)]


def _adapted_class(hint: Any, origin: type, made: dict[Any, tuple[Any, Any]]) -> Any:
    if is_path(origin):
        return stand_in(PathStandIn, hint)
    if issubclass(origin, enum.Enum):
        return stand_in(ChoiceStandIn, hint, choices=list(origin))
    kind = _fields.of(hint)
    if kind is not None:
        holder = stand_in(ObjectStandIn, hint, kind=kind)
        made[hint_key(hint)] = (hint, holder)
        holder.fields = [field._replace(hint=_adapted(field.hint, made)) for field in kind.fields]
        native = {id(field.hint) for field in kind.fields}
        holder.cheapest_first = sorted(holder.fields, key=lambda field: id(field.hint) not in native)
        return holder
    arguments = tuple(_adapted(argument, made) for argument in typing.get_args(hint))
    if origin is collections.Counter and arguments:
        arguments = (*arguments, int)
    form: Any = (_COLLECTIONS | _ABSTRACT).get(origin, origin)
    inner = form[arguments] if arguments else form
    return stand_in(CollectionStandIn, hint, inner=inner) if origin in _COLLECTIONS else inner


def _constrained(hint: Any, inner: Any) -> Any:
    """By msgspec where it knows the constraint and the type, since that is fastest."""
    bounds, checks = constraints(hint.__metadata__)
    if bounds:
        try:
            native = typing.Annotated[(inner, *hint.__metadata__, msgspec.Meta(**bounds))]  # pyright: ignore
            if len(bounds) == len(checks) and not _is_refused(native):
                return native
        except TypeError:
            pass
    return stand_in(ConstrainedStandIn, hint, inner=inner, bounds=bounds, checks=checks) if checks else inner


def _union(hint: Any, members: list[Any]) -> Any:
    union = typing.Union[tuple(members)]  # noqa: UP007 - the members are not known here
    if not _is_refused(union):
        return union
    members = sorted(members, key=_rank)
    return stand_in(UnionStandIn, hint, members=members, keys=[keys_of(member) for member in members])


def _rank(member: Any) -> int:
    """What takes less goes before what takes more."""
    while issubclass(class_of(member), ConstrainedStandIn):
        member = member.inner
    kind = class_of(bare(member))
    if issubclass(kind, PathStandIn):
        return _RANKS[str]
    if issubclass(kind, collections.abc.Mapping):
        kind = dict
    return 0 if _fields.of(kind) is not None else _RANKS.get(kind, 0)


def _is_odd(hint: Any, key: Any) -> bool:
    """Whether something has to be replaced in a hint, also deep inside the classes that it names."""
    if key not in _odd:
        search = _OddSearch()
        search.visit(hint, key)
        _odd.update(search.answers())
    return _odd[key][1]


class _OddSearch:
    """Goes once through all that a hint is made of, of which classes and aliases may contain themselves."""

    def __init__(self) -> None:
        self._hints: dict[Any, Any] = {}
        self._odd: set[Any] = set()
        self._containing: dict[Any, list[Any]] = {}
        """The keys of the hints that are made of one."""
        self._above: list[Any] = []

    def visit(self, hint: Any, key: Any) -> None:
        """Notes a hint and its parts, also those after an odd one: a type that no JSON becomes is told at once."""
        self._hints[key] = hint
        self._above.append(key)
        for part in _parts(hint):
            of_part = hint_key(part)
            self._containing.setdefault(of_part, []).append(key)
            if of_part in _odd:
                self._hints[of_part] = part
                self._odd.update([of_part] if _odd[of_part][1] else ())
            elif of_part not in self._hints:
                self.visit(part, of_part)
            elif of_part in self._above:
                # An alias within itself, which msgspec would follow for ever.
                inside = self._above[self._above.index(of_part) :]
                self._odd.update(each for each in inside if is_alias(self._hints[each]))
        self._above.pop()
        if _is_odd_itself(hint):
            self._odd.add(key)

    def answers(self) -> dict[Any, tuple[Any, bool]]:
        """For each hint that was visited whether it is odd: itself, or something inside it."""
        spreading = list(self._odd)
        while spreading:
            for key in self._containing.get(spreading.pop(), ()):
                if key not in self._odd:
                    self._odd.add(key)
                    spreading.append(key)
        return {key: (hint, key in self._odd) for key, hint in self._hints.items()}


def _parts(hint: Any) -> Iterator[Any]:
    """The hints that a hint is made of."""
    inner = stands_for(hint)
    if inner is not hint:
        yield inner
        return
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        yield typing.get_args(hint)[0]
    elif origin is not typing.Literal and not is_pydantic(hint):
        kind = _fields.of(hint)
        parts = typing.get_args(hint) if kind is None else [field.hint for field in kind.fields]
        yield from (part for part in parts if not isinstance(part, list))  # Those of a Callable.


def _is_odd_itself(hint: Any) -> bool:
    """Whether a hint itself has to be replaced, whatever it is made of."""
    if any(hint is known for known in (Any, None, ...)) or isinstance(hint, TypeVar):
        return False
    origin = typing.get_origin(hint) or hint
    if is_pydantic(hint):
        return True
    if origin is typing.Annotated:
        return has_foreign(hint.__metadata__) or _is_refused(hint)
    if origin in _UNIONS or origin is typing.Literal or stands_for(hint) is not hint:
        return _is_refused(hint)
    if not isinstance(origin, type):
        raise TypeError(_not_from_json(hint))
    kind = _fields.of(hint)
    if kind is not None:
        return not kind.native
    if issubclass(origin, enum.Enum):
        return _is_refused(hint)
    if origin in _COLLECTIONS or origin in _ABSTRACT or is_path(class_of(hint)):
        return True
    if issubclass(class_of(hint), collections.abc.Mapping):
        _check_key(hint)
    if isinstance(msgspec.inspect.type_info(origin), msgspec.inspect.CustomType) and not _is_json_kind(hint):
        raise TypeError(_not_from_json(hint))
    return False


def _is_refused(hint: Any) -> bool:
    try:
        decoder(hint)
    except Exception:  # noqa: BLE001 - why is told when its parts are looked at
        return True
    return False


def _is_json_kind(hint: Any) -> bool:
    """Whether plain JSON values are instances, as of `object` or `numbers.Number`."""
    try:
        return any(issubclass(plain, class_of(hint)) for plain in (str, int, float, list, dict))
    except TypeError:
        return False


def _check_key(mapping: Any) -> None:
    for key in typing.get_args(mapping)[:1]:
        for member in union_members(stands_for(key)):
            if typing.get_origin(bare(member)) is typing.Literal:
                continue
            kind = class_of(bare(member))
            if kind in _NO_KEYS or _fields.of(kind) is not None:
                raise TypeError(f"the keys of JSON are text, which does not become {type_text(member)}")


def _not_from_json(hint: Any) -> str:
    return f"{type_text(typing.get_origin(hint) or hint)} is not a type that JSON values are converted to"
