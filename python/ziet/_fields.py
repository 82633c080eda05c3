"""The fields of the classes that JSON objects become: dataclasses, attrs, Structs, TypedDicts and NamedTuples.

It resolves forward references and the type variables of generics, and knows how an instance is made. It must not know
what becomes of a field's hint.
"""

from __future__ import annotations

import sys
import typing
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

NODEFAULT: Any = msgspec.NODEFAULT
"""The default of a field that has none, or one that is not the same each time."""

_PLAIN_FACTORIES: tuple[Any, ...] = (list, dict, set, frozenset, tuple)
_FORMS = {"LiteralString": str, "NoReturn": None, "Never": None}
_WRAPPERS = ("Required", "NotRequired", "ReadOnly")


class ObjectField(NamedTuple):
    """A field that a JSON object gives."""

    name: str
    """The argument of the constructor."""
    encoded_name: str
    """The key in the JSON object."""
    hint: Any
    required: bool
    default: Any
    """`NODEFAULT` if there is none, or if a factory of the user makes it."""


class ObjectType:
    """A class with fields, as `of` found it.

    Raises:
        NameError: The annotation of a field cannot be resolved.
    """

    def __init__(self, origin: Any, fields: list[ObjectField], *, native: bool = True, mapping: bool = False) -> None:
        config = getattr(origin, "__struct_config__", None)
        self.origin = origin
        self.fields = fields
        self.native = native
        """Whether msgspec makes an instance as its class means it to be made."""
        self.mapping = mapping
        """Whether instances are plain dicts."""
        self.array = issubclass(origin, tuple) or bool(config and config.array_like)
        """Whether it is a list in JSON."""
        self.tag: tuple[str, Any] | None = (config.tag_field, config.tag) if config and config.tag_field else None
        """The key and the value by which a Struct is told from others."""
        self.forbids_unknown = issubclass(origin, tuple) or bool(config and config.forbid_unknown_fields)

    def by_name(self, value: Any) -> dict[str, Any] | None:
        """The members of a JSON value by their encoded names, None if it cannot be one of these objects."""
        if self.array:
            names = [*([self.tag[0]] if self.tag else []), *(field.encoded_name for field in self.fields)]
            if not isinstance(value, list):
                return None
            items = cast("list[Any]", value)
            return None if self.forbids_unknown and len(items) > len(names) else dict(zip(names, items, strict=False))
        return cast("dict[str, Any]", value) if isinstance(value, dict) else None

    def make(self, arguments: dict[str, Any]) -> Any:
        """An instance, by its own constructor."""
        return arguments if self.mapping else self.origin(**arguments)


_found: dict[Any, tuple[Any, ObjectType | None]] = {}
"""By the key of the hint, which is kept with its fields."""


def of(hint: Any) -> ObjectType | None:
    """The fields of a class or of a parametrized generic class, None if it is no class with fields. Found once."""
    key = hint_key(hint)
    if key not in _found:
        _found[key] = (hint, _of(hint))
    return _found[key][1]


def hint_key(hint: Any) -> Any:
    """What a hint can be looked up by as long as it is kept.

    Equal keys mean the same hint made twice. Hints themselves do not tell: `int | str == str | int`, where the order
    counts, and metadata may have no hash.
    """
    arguments = () if type(hint) is type or typing.get_origin(hint) is typing.Literal else typing.get_args(hint)
    if not arguments:
        return id(hint)
    parts = (
        tuple(map(hint_key, cast("list[Any]", part))) if isinstance(part, list) else hint_key(part)
        for part in arguments
    )
    return (typing.get_origin(hint), *parts)


def _of(hint: Any) -> ObjectType | None:
    origin: Any = class_of(hint)
    bases = origin.__mro__
    if msgspec.Struct in bases:
        return ObjectType(origin, [_struct_field(field) for field in msgspec.structs.fields(hint)])
    if dict in bases and hasattr(origin, "__total__"):
        return _typed_dict_type(hint, origin)
    if tuple in bases and hasattr(origin, "_fields"):
        return ObjectType(origin, _named_tuple_fields(hint, origin))
    if hasattr(origin, "__attrs_attrs__"):
        return _attrs_type(hint, origin)
    if hasattr(origin, "__dataclass_fields__"):
        return _dataclass_type(hint, origin)
    return None


def class_of(hint: Any) -> type[Any]:
    """The class of a hint, without its arguments; that of None for a hint that is no class."""
    origin = typing.get_origin(hint) or hint
    return cast("type[Any]", origin) if isinstance(origin, type) else type(None)


def is_path(kind: type[Any]) -> bool:
    """Whether it is a class of `pathlib`, which is slow to import and is loaded wherever a path is."""
    pathlib = sys.modules.get("pathlib")
    return pathlib is not None and issubclass(kind, pathlib.PurePath)


def bound(hint: Any, arguments: Mapping[Any, Any]) -> Any:
    """The hint with type variables replaced by their arguments."""
    if isinstance(hint, typing.TypeVar):
        return arguments.get(hint, hint)
    parameters = getattr(hint, "__parameters__", ())
    if not arguments or not parameters or typing.get_origin(hint) is None:
        return hint
    return hint[tuple(arguments.get(parameter, parameter) for parameter in parameters)]


def is_alias(hint: Any) -> bool:
    """Whether it is the name of a hint, as `type X = ...` makes it, with or without arguments."""
    return hasattr(hint, "__value__") and not isinstance(hint, type)


_aliases: dict[Any, tuple[Any, Any]] = {}
"""By the key of the alias, which is kept with what it stands for."""


def stands_for(hint: Any) -> Any:
    """What a NewType, an alias or a type variable stands for in the end; the hint itself if it is none of these."""
    while True:
        if hasattr(hint, "__supertype__"):
            hint = hint.__supertype__
        elif is_alias(hint):
            key = hint_key(hint)
            if key not in _aliases:
                _aliases[key] = (hint, _value(hint))
            hint = _aliases[key][1]
        elif isinstance(hint, typing.TypeVar):
            constraints = hint.__constraints__
            hint = hint.__bound__ or (typing.Union[constraints] if constraints else Any)  # noqa: UP007
        else:
            # Only the name is the same in `typing` and `typing_extensions`.
            name = None if isinstance(hint, type) else getattr(hint, "_name", None)
            return _FORMS.get(cast("str", name), hint)


def _value(hint: Any) -> Any:
    """The value of an alias, in which `typing_extensions.TypeAliasType` leaves names as text."""
    alias = typing.get_origin(hint) or hint
    value = evaluated(alias.__value__, getattr(sys.modules.get(alias.__module__), "__dict__", {}))
    return bound(value, dict(zip(alias.__type_params__, typing.get_args(hint), strict=False)))


def evaluated(annotation: Any, names: dict[str, Any]) -> Any:
    """What was written as an annotation, also as text, where `names` are those of its module.

    Raises:
        Exception: Whatever evaluating it raises.
    """
    if type(annotation) is type:
        return annotation

    def holder() -> None: ...

    holder.__annotations__ = {"value": annotation}
    return typing.get_type_hints(holder, globalns=names, include_extras=True)["value"]


def _hints(hint: Any, origin: type) -> dict[str, Any]:
    """The resolved hints of a class by the names of its fields, with the arguments of generics filled in."""
    arguments: dict[Any, dict[Any, Any]] = {}
    _collect_arguments(hint, {}, arguments)
    resolved = typing.get_type_hints(origin, include_extras=True)
    for name in resolved:
        owner = next(kind for kind in origin.__mro__ if name in getattr(kind, "__annotations__", {}))
        resolved[name] = bound(resolved[name], arguments.get(owner, {}))
    return resolved


def _collect_arguments(hint: Any, outer: dict[Any, Any], arguments: dict[Any, dict[Any, Any]]) -> None:
    """What the type variables of a class and of each generic base stand for. One variable may serve several classes."""
    origin: Any = typing.get_origin(hint) or hint
    if origin is typing.Generic or not isinstance(origin, type):
        return
    given = [bound(argument, outer) for argument in typing.get_args(hint)]
    arguments[origin] = dict(zip(getattr(origin, "__parameters__", ()), given, strict=False))
    for base in origin.__dict__.get("__orig_bases__", origin.__bases__):
        _collect_arguments(base, arguments[origin], arguments)


def _struct_field(field: Any) -> ObjectField:
    default = _default(field.default, field.default_factory, NODEFAULT)
    return ObjectField(field.name, field.encode_name, field.type, field.required, default)


def _default(default: Any, factory: Any, missing: Any) -> Any:
    if factory is not missing and factory in _PLAIN_FACTORIES:
        return factory()
    return NODEFAULT if default is missing else default


def _typed_dict_type(hint: Any, origin: Any) -> ObjectType:
    required: set[str] = set(origin.__required_keys__)
    native = True
    fields: list[ObjectField] = []
    for name, inner in _hints(hint, origin).items():
        # With postponed annotations the class itself does not know of these.
        while getattr(typing.get_origin(inner), "_name", None) in _WRAPPERS:
            wrapper = typing.get_origin(inner)._name
            if wrapper == "ReadOnly":
                native = False  # msgspec does not know it.
            else:
                (required.add if wrapper == "Required" else required.discard)(name)
            inner = typing.get_args(inner)[0]
        fields.append(ObjectField(name, name, inner, name in required, NODEFAULT))
    return ObjectType(origin, fields, native=native, mapping=True)


def _named_tuple_fields(hint: Any, origin: Any) -> list[ObjectField]:
    hints = _hints(hint, origin)
    defaults = origin._field_defaults
    return [
        ObjectField(name, name, hints.get(name, Any), name not in defaults, defaults.get(name, NODEFAULT))
        for name in origin._fields
    ]


def _dataclass_type(hint: Any, origin: Any) -> ObjectType:
    import dataclasses

    hints = _hints(hint, origin)
    native = True
    fields: list[ObjectField] = []
    for field in origin.__dataclass_fields__.values():
        kind = field._field_type.name
        if kind == "_FIELD_CLASSVAR":
            continue
        missing = dataclasses.MISSING
        required = field.default is missing and field.default_factory is missing
        inner = hints[field.name]
        if kind == "_FIELD_INITVAR":
            inner, native = inner.type, False
        if not field.init:
            native = native and not required
            continue
        # msgspec leaves such a default to the class, and what is not in the instance it does not encode.
        native = native and (field.default is missing or hasattr(origin, "__slots__"))
        default = _default(field.default, field.default_factory, missing)
        fields.append(ObjectField(field.name, field.name, inner, required, default))
    return ObjectType(origin, fields, native=native)


def _attrs_type(hint: Any, origin: Any) -> ObjectType:
    import attrs

    hints = _hints(hint, origin)
    native = True
    fields: list[ObjectField] = []
    for field in origin.__attrs_attrs__:
        if not field.init:
            continue
        factory = getattr(field.default, "factory", attrs.NOTHING)
        takes_self = getattr(field.default, "takes_self", False)
        # msgspec neither converts nor makes a default of the other fields.
        native = native and not takes_self and field.converter is None
        default = attrs.NOTHING if factory is not attrs.NOTHING else field.default
        argument = getattr(field, "alias", None) or field.name.lstrip("_")
        required = field.default is attrs.NOTHING
        made = _default(default, attrs.NOTHING if takes_self else factory, attrs.NOTHING)
        fields.append(ObjectField(argument, field.name, hints.get(field.name, Any), required, made))
    return ObjectType(origin, fields, native=native)
