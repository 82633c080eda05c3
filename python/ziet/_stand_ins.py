"""The classes that stand for what msgspec cannot make, and how each makes its values.

They are made by `_adapted.adapted`, one for each hint. Here a value is only made; what was wrong with one that does not
fit is found by `_problems`, along the original hint.
"""

from __future__ import annotations

import collections
import contextvars
import typing
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar, cast

import msgspec

from ziet._encode import Unencodable, encode
from ziet._fields import class_of, hint_key
from ziet._fields import of as fields_of
from ziet._type_text import bare, type_text

if TYPE_CHECKING:
    from ziet._constraints import Check
    from ziet._fields import ObjectField, ObjectType


_StandInT = TypeVar("_StandInT", bound="StandIn")

_decoders: dict[int, tuple[Any, Callable[[bytes | msgspec.Raw], Any]]] = {}
"""By the identity of the adapted hint, which is kept with its decoder."""

_adapters: dict[Any, tuple[Any, Any]] = {}
"""By the key of the hint, which is kept with its adapter."""


_known: contextvars.ContextVar[dict[Any, list[list[Any]]] | None] = contextvars.ContextVar("known", default=None)
"""For the parts of the value being made, by union and JSON, the groups of members that are still to be tried.

A member that is tried makes all parts below, and so does the next one. So that each further level does not double the
time, a part that is made again tries only the member that fitted it, or none.
"""

_NONE: list[list[Any]] = [[]]


class _Keys(NamedTuple):
    names: frozenset[str]
    required: frozenset[str]
    known: frozenset[str]
    """The names, and the key of a tag."""


class _MadeOnTheFly(type):
    """msgspec asks whether what its hook made is an instance of the class in the hint, which stands for another."""

    def __instancecheck__(cls, instance: object) -> bool:
        return True


class StandIn(metaclass=_MadeOnTheFly):
    """In an adapted hint, stands for `hint`."""

    hint: ClassVar[Any]

    @classmethod
    def decode(cls, value: Any) -> Any:
        """What `hint` asks for, made of a plain JSON value.

        Raises:
            Exception: The value does not fit; whatever the classes of the user raise comes through.
        """
        raise NotImplementedError


class InnerStandIn(StandIn):
    """A value that is made of what another hint takes."""

    inner: ClassVar[Any]
    """The adapted hint of what it is made of."""

    @classmethod
    def decode(cls, value: Any) -> Any:
        return cls.finish(convert(cls.inner, value))

    @classmethod
    def finish(cls, value: Any) -> Any:
        """Makes the value of what `inner` took."""
        return value


class PathStandIn(InnerStandIn):
    """A class of `pathlib`, which is text in JSON."""

    inner = str

    @classmethod
    def finish(cls, value: Any) -> Any:
        return cls.hint(value)


class CollectionStandIn(InnerStandIn):
    """A class of `collections`, which is a list or a dict in JSON."""

    @classmethod
    def finish(cls, value: Any) -> Any:
        origin = typing.get_origin(cls.hint) or cls.hint
        if origin is not collections.defaultdict:
            return origin(value)
        of_values = typing.get_args(cls.hint)[-1:]
        made_by = next((typing.get_origin(hint) or hint for hint in of_values), None)
        return collections.defaultdict(made_by if isinstance(made_by, type) else None, value)


class ConstrainedStandIn(InnerStandIn):
    """A hint with constraints that msgspec does not check on it."""

    bounds: ClassVar[dict[str, Any]]
    """The constraints as keywords of `msgspec.Meta`, as far as it can say them."""
    checks: ClassVar[list[Check]]
    """All constraints."""

    @classmethod
    def finish(cls, value: Any) -> Any:
        failed = None if value is None else next((text for text, holds in cls.checks if not holds(value)), None)
        if failed is not None:
            raise ValueError(f"Expected `{type_text(cls.hint).removesuffix(' | None')}` {failed}")
        return value


class ChoiceStandIn(StandIn):
    """Enums and Literals whose values are not only texts and integers."""

    choices: ClassVar[list[Any]]

    @classmethod
    def decode(cls, value: Any) -> Any:
        for choice in cls.choices:
            same = msgspec.json.decode(encode(choice))
            # 1 is 1.0 in JSON, but it is not true.
            if same == value and isinstance(same, bool) == isinstance(value, bool):
                return choice
        raise ValueError(f"Expected `{type_text(cls.hint)}`")


class UnionStandIn(StandIn):
    """A union that msgspec refuses."""

    members: ClassVar[list[Any]]
    """The adapted hints of its members in the order in which they are tried."""
    keys: ClassVar[list[_Keys | None]]
    """The keys of each member, None for one that is no object with fields."""

    @classmethod
    def decode(cls, value: Any) -> Any:
        known = _known.get()
        if known is None:
            outermost = _known.set({})
            try:
                return cls.decode(value)
            finally:
                _known.reset(outermost)
        # The hash alone, since the JSON of all parts can be far more than the value.
        key = (cls, hash(msgspec.json.encode(value)))
        groups, known[key] = known.get(key) or cls._groups(value), _NONE
        fitting: list[tuple[Any, Any]] = []
        for group in groups:
            for member in group:
                try:
                    # A stand-in at once: each call counts, since a value may be as deep as Python calls may be.
                    direct = isinstance(member, _MadeOnTheFly)
                    fitting.append((member, cast("Any", member).decode(value) if direct else convert(member, value)))
                except (MemoryError, RecursionError):
                    raise
                except Exception:  # noqa: BLE001 - a class of the user may raise anything while it is made
                    continue
            if fitting:
                break
        else:
            raise ValueError(f"Expected `{type_text(cls.hint)}`")
        best = fitting[0] if len(fitting) == 1 else min(fitting, key=lambda each: _misfit(value, *each))
        known[key] = [[best[0]]]
        return best[1]

    @classmethod
    def _groups(cls, value: Any) -> list[list[Any]]:
        """The members to be tried with a value: for an object first those that fit its keys best, for a list all."""
        if isinstance(value, list):
            return [cls.members]
        if not isinstance(value, dict):
            return [[member] for member in cls.members]
        given = cast("dict[str, Any]", value).keys()
        misfits = [
            None if keys is None else (len(given - keys.known), len(keys.names - given), keys.required <= given)
            for keys in cls.keys
        ]
        levels = sorted({each[:2] for each in misfits if each is not None and each[2]})
        groups = [
            [member for member, each in zip(cls.members, misfits, strict=True) if each == (*level, True)]
            for level in levels
        ]
        first = [
            member
            for member, each in zip(cls.members, misfits, strict=True)
            if each is None or (levels and each == (*levels[0], True))
        ]
        return [first, *groups[1:]]


class ObjectStandIn(StandIn):
    """A class with a field that msgspec cannot make, or that it would make otherwise than the class does."""

    kind: ClassVar[ObjectType]
    fields: ClassVar[list[ObjectField]]
    """Its fields with adapted hints."""
    cheapest_first: ClassVar[list[ObjectField]]
    """The same, those first that msgspec makes alone: `kind: Literal["a"]` tells a wrong member of a union at once."""

    @classmethod
    def decode(cls, value: Any) -> Any:
        members = cls.kind.by_name(value)
        if members is None:
            raise ValueError(f"Expected `{'array' if cls.kind.array else 'object'}`")
        tag = cls.kind.tag
        if tag is not None and members.get(*tag) != tag[1]:
            raise ValueError(f"Expected {tag[0]} to be {tag[1]!r}")
        arguments: dict[str, Any] = {}
        for name, key, hint, required, _ in cls.cheapest_first:
            if key in members:
                arguments[name] = decoder_of(hint)(msgspec.json.encode(members[key]))
            elif required:
                raise ValueError(f"Object missing required field `{key}`")
        if cls.kind.forbids_unknown and len(members) > len(arguments) + (tag is not None and tag[0] in members):
            raise ValueError("Object contains unknown fields")
        if cls.kind.mapping:
            arguments = {field.name: arguments[field.name] for field in cls.fields if field.name in arguments}
        return cls.kind.make(arguments)


class PydanticStandIn(StandIn):
    """What pydantic makes and checks: models, its dataclasses, and hints annotated with its `Field`."""

    @classmethod
    def adapter(cls) -> Any:
        """The `pydantic.TypeAdapter` of `hint`."""
        return type_adapter(cls.hint)

    @classmethod
    def decode(cls, value: Any) -> Any:
        return cls.adapter().validate_json(msgspec.json.encode(value))


def stand_in(base: type[_StandInT], hint: Any, **attributes: Any) -> type[_StandInT]:
    """A new class that stands for `hint`."""
    namespace = {"__module__": __name__, "hint": hint, **attributes}
    return cast("type[_StandInT]", _MadeOnTheFly(type_text(hint), (base,), namespace))


def dec_hook(kind: Any, value: Any) -> Any:
    """What msgspec calls for types that are not its own."""
    if isinstance(kind, type) and issubclass(kind, StandIn):
        return kind.decode(value)
    return value  # A type such as `object`: msgspec checks whether the value is an instance.


def decoder(adapted_hint: Any) -> Callable[[bytes | msgspec.Raw], Any]:
    """From JSON to a value of an adapted hint."""
    return msgspec.json.Decoder(adapted_hint, dec_hook=dec_hook).decode


def decoder_of(adapted_hint: Any) -> Callable[[bytes | msgspec.Raw], Any]:
    """The decoder of an adapted hint that is kept for good: a part of one that a stand-in has."""
    kept = _decoders.get(id(adapted_hint))
    if kept is None:
        kept = _decoders[id(adapted_hint)] = (adapted_hint, decoder(adapted_hint))
    return kept[1]


def convert(adapted_hint: Any, value: Any) -> Any:
    """A plain JSON value to a value of an adapted hint that `decoder_of` takes."""
    # By way of JSON: `msgspec.convert` leaves out the hook for the keys of dicts.
    return decoder_of(adapted_hint)(msgspec.json.encode(value))


def keys_of(member: Any) -> _Keys | None:
    """The keys of a JSON object that a member of a union knows, None for one that is no object with fields."""
    kind = member.kind if issubclass(class_of(member), ObjectStandIn) else fields_of(bare(member))
    if kind is None or kind.array:
        return None
    names = frozenset(field.encoded_name for field in kind.fields)
    required = frozenset(field.encoded_name for field in kind.fields if field.required)
    return _Keys(names, required, names | {kind.tag[0]} if kind.tag else names)


def _misfit(value: Any, member: Any, made: Any) -> tuple[int, int]:
    """How many keys of a JSON value a member of a union passed over, and how many fields of its own were not given."""
    try:
        back = msgspec.json.decode(encode(made))
    except Unencodable:
        return (0, 0)
    if not isinstance(value, dict):
        return _lost(value, back), 0
    keys = keys_of(member)
    # Not by what comes back: msgspec leaves out the fields of a dataclass that it did not set.
    names = back if keys is None else keys.names
    return _lost(value, back), sum(name not in value for name in names)


def _lost(came: Any, back: Any) -> int:
    """How many keys of a JSON value are not in another."""
    if isinstance(came, dict) and isinstance(back, dict):
        came, back = cast("dict[str, Any]", came), cast("dict[str, Any]", back)
        return sum(_lost(each, back[key]) if key in back else 1 for key, each in came.items())
    if isinstance(came, list) and isinstance(back, list):
        pairs = zip(cast("list[Any]", came), cast("list[Any]", back), strict=False)
        return sum(_lost(each, again) for each, again in pairs)
    return 0


def type_adapter(hint: Any) -> Any:
    """The `pydantic.TypeAdapter` of a hint, made once. What is no model is taken strictly: no int from a text.

    Raises:
        Exception: pydantic cannot make values of it.
    """
    import pydantic

    key = hint_key(hint)
    if key not in _adapters:
        try:
            adapter = pydantic.TypeAdapter(hint, config=pydantic.ConfigDict(strict=True))
        except pydantic.PydanticUserError as error:
            if error.code != "type-adapter-config-unused":
                raise
            adapter = pydantic.TypeAdapter(hint)
        _adapters[key] = (hint, adapter)
    return _adapters[key][1]
