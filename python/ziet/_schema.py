"""JSON Schema 2020-12 of what an action takes and gives.

The rule: what validates is what the decoder accepts, and the other way round. So the schemas are made from msgspec's
view of the types, but not by msgspec, whose own leave out what its decoder refuses. EXCEPTIONS in the tests tells where
JSON Schema cannot say it.
"""

from __future__ import annotations

import base64
import re
import typing
from itertools import chain, count
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import msgspec
from msgspec import inspect as kinds

from ziet import _fields
from ziet._encode import Unencodable, encode
from ziet._stand_ins import (
    ChoiceStandIn,
    ConstrainedStandIn,
    InnerStandIn,
    ObjectStandIn,
    PydanticStandIn,
    StandIn,
    UnionStandIn,
    hint_key,
)
from ziet._type_text import type_text, union_members

if TYPE_CHECKING:
    from collections.abc import Callable

    from ziet._docstring import Documentation
    from ziet._inputs import Inputs
    from ziet._results import Result
    from ziet._wire import Parameter

_Schema = dict[str, Any]
Mode = Literal["validation", "serialization"]
"""Whether a schema is for what comes in or for what goes out, which differs for what pydantic computes."""

_DIALECT = "https://json-schema.org/draft/2020-12/schema"

_DAY = r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?"
_OFFSET = r"(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):?[0-5][0-9])"
_BASE64 = "[A-Za-z0-9+/]"
_HEX = "[0-9A-Fa-f]"


def _duration() -> str:
    """Only the last unit may have a fraction."""
    whole = {unit: f"(?:[0-9]+[{unit}])?" for unit in ("Dd", "Hh", "Mm")}
    last = {unit: rf"[0-9]+(?:\.[0-9]+)?[{unit}]" for unit in ("Dd", "Hh", "Mm", "Ss")}
    clock = f"{last['Hh']}|{whole['Hh']}{last['Mm']}|{whole['Hh']}{whole['Mm']}{last['Ss']}"
    return f"^[+-]?[Pp](?:{last['Dd']}|{whole['Dd']}[Tt](?:{clock}))$"


_DECIMAL = {"type": "string", "pattern": r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[Ee][+-]?[0-9]+)?$"}

_PLAIN: dict[type, _Schema] = {
    kinds.AnyType: {},
    kinds.RawType: {},
    kinds.NoneType: {"type": "null"},
    kinds.BoolType: {"type": "boolean"},
    kinds.DateType: {"type": "string", "format": "date", "pattern": f"^{_DAY}$", "examples": ["2024-01-15"]},
    kinds.TimeDeltaType: {"type": "string", "pattern": _duration(), "examples": ["PT1H"]},
    kinds.UUIDType: {
        "type": "string",
        "pattern": f"^(?:{_HEX}{{8}}-(?:{_HEX}{{4}}-){{3}}{_HEX}{{12}}|{_HEX}{{32}})$",
        "examples": ["12345678-1234-4678-9234-567812345678"],
    },
    kinds.DecimalType: {"anyOf": [_DECIMAL, {"type": "number"}], "examples": ["10.00"]},
}

_NUMBER_KEYS: dict[type, str] = {
    kinds.IntType: "^-?(?:0|[1-9][0-9]*)$",
    kinds.FloatType: r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[Ee][+-]?[0-9]+)?$",
}
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]")

_SCALARS: _Schema = {"type": ["string", "number", "boolean", "null"]}
"""What can be in a set of anything."""

_SAMPLES = msgspec.json.decode(
    '{"null": null, "boolean": true, "integer": 1, "number": 1.5, "string": "", "array": [], "object": {}}',
    type=dict[str, Any],
)


def input_schema(inputs: Inputs, parameters: list[Parameter]) -> bytes:
    """The schema of an action's input as JSON; `parameters` has the defaults and descriptions."""
    schemas = Schemas("validation")
    properties: dict[str, _Schema] = {}
    for field, parameter in zip(inputs.fields, parameters, strict=True):
        schema = properties[field.name] = schemas.of(field.adapted)
        if parameter.description:
            schema["description"] = parameter.description
        if parameter.default is not None:
            schema["default"] = msgspec.json.decode(parameter.default)
    rest = False if inputs.rest is None else schemas.of(inputs.rest.adapted) or True
    document = {
        "type": "object",
        "properties": properties,
        "required": [field.name for field in inputs.fields if field.required],
        "additionalProperties": rest,
    }
    return schemas.document(document)


def output_schema(result: Result, description: str | None) -> bytes:
    """The schema of an action's output as JSON."""
    schemas = Schemas("serialization")
    schema = schemas.of(result.adapted)
    if description:
        schema["description"] = description
    return schemas.document(schema)


def _number(_schemas: Schemas, kind: Any) -> _Schema:
    limits = {
        "minimum": kind.ge,
        "exclusiveMinimum": kind.gt,
        "maximum": kind.le,
        "exclusiveMaximum": kind.lt,
        "multipleOf": kind.multiple_of,
    }
    schema: _Schema = {"type": "integer" if isinstance(kind, kinds.IntType) else "number"}
    return schema | {keyword: limit for keyword, limit in limits.items() if limit is not None}


def _text(_schemas: Schemas, kind: Any) -> _Schema:
    schema = {"type": "string", **_bounds(kind, "Length")}
    if kind.pattern is not None:
        schema["pattern"] = kind.pattern
    return schema


def _bytes(_schemas: Schemas, kind: Any) -> _Schema:
    """Base64, in which every four characters are three bytes; the last ones tell whether it are one or two."""
    least, most = kind.min_length or 0, kind.max_length
    ends = ("", f"{_BASE64}{{2}}==", f"{_BASE64}{{3}}=")
    forms: list[str] = []
    for rest, end in enumerate(ends):
        if most is None or most >= rest:
            fewest = max(0, -((rest - least) // 3))
            limit = "" if most is None else (most - rest) // 3
            if limit == "" or fewest <= limit:
                forms.append(f"(?:{_BASE64}{{4}}){{{fewest},{limit}}}{end}")
    example = base64.b64encode(b"example"[:most].ljust(least, b"!")).decode()
    pattern = f"^(?:{'|'.join(forms)})$"
    return {"type": "string", "contentEncoding": "base64", "pattern": pattern, "examples": [example]}


def _moment(_schemas: Schemas, kind: Any) -> _Schema:
    offset = {True: _OFFSET, False: "", None: f"{_OFFSET}?"}[kind.tz]
    if isinstance(kind, kinds.TimeType):
        return {"type": "string", "pattern": f"^{_CLOCK}{offset}$", "examples": ["12:00:00" + "Z" * bool(kind.tz)]}
    example = "2024-01-15T12:00:00" + "Z" * (kind.tz is not False)
    return {"type": "string", "pattern": f"^{_DAY}[Tt ]{_CLOCK}{offset}$", "examples": [example]}


def _literal(_schemas: Schemas, kind: Any) -> _Schema:
    return {"enum": _choices(kind)}


class Schemas:
    """Makes the schemas of one document, which share its definitions."""

    definitions: dict[str, _Schema]
    """What the `$ref` of the schemas point to: the document has it as its `$defs`."""

    def __init__(self, mode: Mode, *, documented: bool = True) -> None:
        """Without `documented` what docstrings say is left out, and with it the time that reading them takes."""
        self.definitions = {}
        self._mode = mode
        self._documented = documented
        self._references: dict[Any, _Schema] = {}

    def of(self, hint: Any) -> _Schema:
        """The schema of the JSON that an adapted hint takes."""
        return self._of(kinds.type_info(hint))

    def document(self, schema: _Schema) -> bytes:
        """The JSON of a schema with all that it refers to."""
        definitions = {"$defs": self.definitions} if self.definitions else {}
        return msgspec.json.encode({"$schema": _DIALECT, **schema, **definitions})

    def _of(self, kind: Any) -> _Schema:
        plain = _PLAIN.get(type(kind))  # pyright: ignore[reportUnknownArgumentType]
        if plain is not None:
            return dict(plain)
        return self._makers[type(kind)](self, kind)

    def _defined(self, named: Any, make: Callable[[], _Schema]) -> _Schema:
        """A reference to the definition of a class or an alias, which is made the first time."""
        key = hint_key(named)
        if key not in self._references:
            name = self._free_name(named)
            # The reference comes first: a class may contain itself.
            self._references[key] = {"$ref": f"#/$defs/{name}"}
            self.definitions[name] = {}
            self.definitions[name] = make()
        return dict(self._references[key])

    def _free_name(self, named: Any) -> str:
        short = _title(named)
        qualified = f"{named.__module__}.{short}"
        names = chain((short, qualified), (f"{qualified}-{number}" for number in count(2)))
        return next(name for name in (_NOT_IN_NAMES.sub("_", name) for name in names) if name not in self.definitions)

    def _class(self, kind: Any) -> _Schema:
        found = _fields.of(kind.cls)
        assert found is not None
        return self._object_type(kind.cls, found, found.fields)

    def _object_type(self, cls: Any, kind: _fields.ObjectType, fields: list[_fields.ObjectField]) -> _Schema:
        return self._defined(cls, lambda: self._object(cls, kind, fields))

    def _object(self, cls: Any, kind: _fields.ObjectType, fields: list[_fields.ObjectField]) -> _Schema:
        documentation = self._documentation(kind.origin)
        schema: _Schema = {"title": _title(cls)}
        if documentation and documentation.text:
            schema["description"] = documentation.text
        members: dict[str, _Schema] = {}
        for field, written in zip(fields, kind.fields, strict=True):
            member = self.of(field.hint)
            described = description_of(written.hint) or (documentation and documentation.parameters.get(field.name))
            if described and "description" not in member:
                member["description"] = described
            if kind.array:
                member.setdefault("title", field.encoded_name)
            _set_default(member, field.default)
            members[field.encoded_name] = member
        required = [field.encoded_name for field in fields if field.required]
        if kind.tag is not None:
            members = {kind.tag[0]: {"const": kind.tag[1]}, **members}
        if not kind.array:
            schema |= {"type": "object", "properties": members, "required": required}
            return schema | ({"additionalProperties": False} if kind.forbids_unknown else {})
        needed = max((place for place, name in enumerate(members, 1) if name in required), default=kind.tag is not None)
        return schema | _places(list(members.values()), int(needed), closed=kind.forbids_unknown)

    def _documentation(self, cls: Any) -> Documentation | None:
        """What somebody wrote for a class, not what a decorator or a base class made for it."""
        text = cls.__dict__.get("__doc__") if self._documented else None
        if not text or text.startswith(f"{cls.__name__}(") or text == "An enumeration.":
            return None
        from ziet import _docstring

        return _docstring.parse(text)

    def _metadata(self, kind: Any) -> _Schema:
        written: _Schema = kind.extra_json_schema or {}
        extra = {keyword: _json(value) for keyword, value in written.items()}
        return self._of(kind.type) | {keyword: value for keyword, value in extra.items() if value is not None}

    def _array(self, kind: Any) -> _Schema:
        items = self._of(kind.item_type)
        bounds = _bounds(kind, "Items")
        if isinstance(kind, kinds.SetType | kinds.FrozenSetType):
            items = items or _SCALARS
            if bounds:
                bounds["uniqueItems"] = True
        return {"type": "array", **({"items": items} if items else {}), **bounds}

    def _tuple(self, kind: Any) -> _Schema:
        items = [self._of(item) for item in kind.item_types]
        return _places(items, len(items), closed=True)

    def _dict(self, kind: Any) -> _Schema:
        schema: _Schema = {"type": "object"}
        names = self._key(kind.key_type)
        if names:
            schema["propertyNames"] = names
        values = self._of(kind.value_type)
        if values:
            schema["additionalProperties"] = values
        return schema | _bounds(kind, "Properties")

    def _key(self, kind: Any) -> _Schema:
        """The schema of a dict's key, which JSON always has as text. Bounds of numbers are not for texts."""
        if isinstance(kind, kinds.UnionType):
            members = [self._key(member) for member in kind.types if not isinstance(member, kinds.NoneType)]
            return {"anyOf": members} if all(members) else {}
        if isinstance(kind, kinds.Metadata):
            return self._key(kind.type)
        if isinstance(kind, kinds.DecimalType):
            return {"pattern": _DECIMAL["pattern"]}
        if isinstance(kind, kinds.IntType | kinds.FloatType):
            return {"pattern": _NUMBER_KEYS[type(kind)]}
        if isinstance(kind, kinds.LiteralType | kinds.EnumType):
            return {"enum": [str(value) for value in _choices(kind)]}
        schema = self._of(kind)
        schema.pop("type", None)
        return schema

    def _union(self, kind: Any) -> _Schema:
        structs = [member for member in map(_bare, kind.types) if isinstance(member, kinds.StructType)]
        members: list[_Schema] = []
        for member in kind.types:
            schema = self._of(member)
            if len(structs) > 1 and isinstance(_bare(member), kinds.StructType) and not _bare(member).array_like:
                # Alone, a Struct does without its tag.
                schema["required"] = [_bare(member).tag_field]
            members.append(schema)
        return {"anyOf": members}

    def _enum(self, kind: Any) -> _Schema:
        return self._choice_of(kind.cls, _choices(kind))

    def _choice_of(self, cls: Any, values: list[Any]) -> _Schema:
        def make() -> _Schema:
            documentation = self._documentation(cls)
            described = {"description": documentation.text} if documentation and documentation.text else {}
            return {"title": _title(cls), **described, "enum": values}

        return self._defined(cls, make)

    def _custom(self, kind: Any) -> _Schema:
        if issubclass(kind.cls, StandIn):
            return self._stand_in(kind.cls)
        # A class whose instances plain JSON values already are, such as `numbers.Number`.
        types = [name for name, sample in _SAMPLES.items() if isinstance(sample, kind.cls)]
        return {} if len(types) == len(_SAMPLES) else {"type": types}

    def _stand_in(self, cls: type[StandIn]) -> _Schema:
        if issubclass(cls, UnionStandIn):
            return {"anyOf": [self.of(member) for member in cls.members]}
        if issubclass(cls, ObjectStandIn):
            return self._object_type(cls.hint, cls.kind, cls.fields)
        if issubclass(cls, ChoiceStandIn):
            values = [msgspec.json.decode(encode(choice)) for choice in cls.choices]
            return self._choice_of(cls.hint, values) if isinstance(cls.hint, type) else {"enum": values}
        if issubclass(cls, ConstrainedStandIn):
            return self._constrained(self.of(cls.inner), cls.bounds)
        if issubclass(cls, PydanticStandIn):
            return self._pydantic(cls)
        assert issubclass(cls, InnerStandIn)
        if InnerStandIn in cls.__bases__:
            # An alias that refers to itself.
            return self._defined(cls.hint, lambda: self.of(cls.inner))
        return self.of(cls.inner)

    def _constrained(self, schema: _Schema, bounds: dict[str, Any]) -> _Schema:
        """Keywords count only for values of their own type, so those of all types may stand side by side."""
        of_lengths = ("Length", "Items", "Properties")
        keywords = {
            "gt": ["exclusiveMinimum"],
            "ge": ["minimum"],
            "lt": ["exclusiveMaximum"],
            "le": ["maximum"],
            "multiple_of": ["multipleOf"],
            "min_length": [f"min{of}" for of in of_lengths],
            "max_length": [f"max{of}" for of in of_lengths],
            "pattern": ["pattern"],
        }
        added = {
            keyword: bound
            for name, bound in bounds.items()
            if isinstance(bound, int | float | str)
            for keyword in keywords.get(name, ())
        }
        return {"allOf": [schema], **added} if added.keys() & schema.keys() else {**schema, **added}

    def _pydantic(self, cls: type[PydanticStandIn]) -> _Schema:
        make: Any = cls.adapter().json_schema
        try:
            schema = make(mode=self._mode)
        except Exception:  # noqa: BLE001 - pydantic makes none of some types, and asks the user's classes for theirs
            return {}
        found = schema.pop("$defs", {})
        prefix = ""
        if any(self.definitions.get(name, each) != each for name, each in found.items()):
            # Another class of the same name: all of these are named after their module.
            prefix = f"{cls.hint.__module__}."
        if found:
            schema = make(mode=self._mode, ref_template=f"#/$defs/{prefix}{{model}}")
            self.definitions |= {f"{prefix}{name}": each for name, each in schema.pop("$defs").items()}
        if "$ref" in schema or not isinstance(cls.hint, type):
            return schema
        return self._defined(cls.hint, lambda: schema)

    _makers: ClassVar[dict[type, Callable[[Schemas, Any], _Schema]]] = {
        kinds.StructType: _class,
        kinds.DataclassType: _class,
        kinds.TypedDictType: _class,
        kinds.NamedTupleType: _class,
        kinds.EnumType: _enum,
        kinds.IntType: _number,
        kinds.FloatType: _number,
        kinds.StrType: _text,
        kinds.BytesType: _bytes,
        kinds.ByteArrayType: _bytes,
        kinds.MemoryViewType: _bytes,
        kinds.DateTimeType: _moment,
        kinds.TimeType: _moment,
        kinds.LiteralType: _literal,
        kinds.ListType: _array,
        kinds.SetType: _array,
        kinds.FrozenSetType: _array,
        kinds.CollectionType: _array,
        kinds.VarTupleType: _array,
        kinds.TupleType: _tuple,
        kinds.DictType: _dict,
        kinds.UnionType: _union,
        kinds.Metadata: _metadata,
        kinds.CustomType: _custom,
    }


def _choices(kind: Any) -> list[Any]:
    return [member.value for member in kind.cls] if isinstance(kind, kinds.EnumType) else list(kind.values)


def _bounds(kind: Any, of: str) -> _Schema:
    bounds = {f"min{of}": kind.min_length, f"max{of}": kind.max_length}
    return {keyword: bound for keyword, bound in bounds.items() if bound is not None}


def _places(items: list[_Schema], needed: int, *, closed: bool) -> _Schema:
    """An array with a schema for each place, of which the first ones are needed."""
    schema: _Schema = {"type": "array", "prefixItems": items, "minItems": needed, "maxItems": len(items)}
    if not items:
        del schema["prefixItems"]
    if not closed:
        del schema["maxItems"]
    return schema


def _set_default(schema: _Schema, default: Any) -> None:
    made = None if default is msgspec.NODEFAULT else _json(default)
    if made is not None or default is None:
        schema.setdefault("default", made)


def _json(value: Any) -> Any:
    """The value as plain JSON; None where it is not JSON."""
    try:
        return msgspec.json.decode(encode(value))
    except Unencodable:
        return None


def _bare(kind: Any) -> Any:
    while isinstance(kind, kinds.Metadata):
        kind = kind.type
    return kind


def _title(named: Any) -> str:
    """The name of a class or an alias as people write it, such as `Box[int]`."""
    arguments = ", ".join(type_text(argument) for argument in typing.get_args(named))
    name = getattr(typing.get_origin(named) or named, "__name__", "")
    return f"{name}[{arguments}]" if arguments else name


def description_of(hint: Any) -> str | None:
    """What `Doc("…")` or a `description` in the metadata of an `Annotated` says."""
    for member in (hint, *union_members(hint)):
        for metadata in reversed(getattr(member, "__metadata__", ())):
            text = getattr(metadata, "documentation", None) or getattr(metadata, "description", None)
            if isinstance(text, str):
                return text
    return None
