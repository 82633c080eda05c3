"""JSON Schema 2020-12 of what an action takes and gives.

The rule: what validates is what the decoder accepts, and the other way round. So the schemas are made from msgspec's
view of the types, but not by msgspec, whose own leave out what its decoder refuses. EXCEPTIONS in the tests tells where
JSON Schema cannot say it.
"""

from __future__ import annotations

import enum
import typing
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import inspect as kinds

from ziet import _docstring
from ziet._encode import Unencodable, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ziet._inputs import Field

_Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

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
    kinds.DateType: {"type": "string", "format": "date", "pattern": f"^{_DAY}$"},
    kinds.TimeDeltaType: {"type": "string", "pattern": _duration(), "examples": ["PT1H30M"]},
    kinds.UUIDType: {"type": "string", "pattern": f"^(?:{_HEX}{{8}}-(?:{_HEX}{{4}}-){{3}}{_HEX}{{12}}|{_HEX}{{32}})$"},
    kinds.DecimalType: {"anyOf": [_DECIMAL, {"type": "number"}]},
}

_SCALARS: _Schema = {"type": ["string", "number", "boolean", "null"]}
"""What can be in a set of anything."""

_SAMPLES = {
    "null": None, "boolean": True, "integer": 1, "number": 1.5, "string": "", "array": list[Any](), "object": dict[str, Any]()
}  # fmt: skip


class Schemas:
    """Makes the schemas of one document, which share its definitions."""

    definitions: dict[str, _Schema]
    """What the `$ref` of the schemas point to: the document has it as its `$defs`."""

    def __init__(self) -> None:
        self.definitions = {}
        self._references: dict[Any, _Schema] = {}

    def of(self, hint: Any) -> _Schema:
        """The schema of the JSON that is converted to this hint."""
        return self._of(kinds.type_info(hint))

    def _of(self, kind: Any) -> _Schema:
        kind_type = type(kind)
        if kind_type in _PLAIN:
            return dict(_PLAIN[kind_type])
        if kind_type in _DEFINED:
            return dict(self._defined(kind))
        return _MAKERS[kind_type](self, kind)

    def _defined(self, kind: Any) -> _Schema:
        reference = self._references.get(kind.cls)
        if reference is None:
            name = self._free_name(kind.cls)
            # The reference comes first: the class may contain itself.
            reference = self._references[kind.cls] = {"$ref": f"#/$defs/{name}"}
            self.definitions[name] = {}
            documentation = _docstring.parse(_own_docstring(kind.cls))
            schema = {"title": _class_name(kind.cls)}
            if documentation.text:
                schema["description"] = documentation.text
            self.definitions[name] = {**schema, **_DEFINED[type(kind)](self, kind, documentation.parameters)}
        return reference

    def _free_name(self, cls: Any) -> str:
        short = _class_name(cls)
        candidates = [short, f"{cls.__module__}.{short}", *(f"{cls.__module__}.{short}-{n}" for n in range(2, 99))]
        names = ("".join(char if char.isalnum() or char in "._-" else "_" for char in name) for name in candidates)
        return next(name for name in names if name not in self.definitions)

    def _metadata(self, kind: Any) -> _Schema:
        return {**self._of(kind.type), **(kind.extra_json_schema or {})}

    def _array(self, kind: Any) -> _Schema:
        items = self._of(kind.item_type)
        schema: _Schema = {"type": "array", "items": items, **_bounds(kind, "Items")}
        if isinstance(kind, kinds.SetType | kinds.FrozenSetType):
            schema["items"] = items or _SCALARS
            if len(schema) > 2:
                schema["uniqueItems"] = True
        if not schema["items"]:
            del schema["items"]
        return schema

    def _tuple(self, kind: Any) -> _Schema:
        return _array_of([self._of(item) for item in kind.item_types], len(kind.item_types), open_ended=False)

    def _dict(self, kind: Any) -> _Schema:
        schema: _Schema = {"type": "object", **_bounds(kind, "Properties")}
        names = self._key(kind.key_type)
        if names != {}:
            schema["propertyNames"] = names
        values = self._of(kind.value_type)
        if values:
            schema["additionalProperties"] = values
        return schema

    def _key(self, kind: Any) -> _Schema | bool:
        """The schema of a dict's key, which JSON always has as text; False where no text is one."""
        if isinstance(kind, kinds.UnionType):
            members = [self._key(member) for member in kind.types]
            return {} if {} in members else {"anyOf": [member for member in members if member is not False]}
        if isinstance(kind, kinds.Metadata):
            return self._key(kind.type)
        if isinstance(kind, kinds.AnyType | kinds.CustomType):
            return {}
        if isinstance(kind, kinds.IntType):
            return {"pattern": "^-?(?:0|[1-9][0-9]*)$"}
        if isinstance(kind, kinds.FloatType):
            return {"pattern": r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[Ee][+-]?[0-9]+)?$"}
        if isinstance(kind, kinds.DecimalType):
            return {"pattern": _DECIMAL["pattern"]}
        if isinstance(kind, kinds.LiteralType | kinds.EnumType):
            return {"enum": [str(value) for value in _choices(kind)]}
        schema = self._of(kind)
        if schema.pop("type", None) == "string":
            return schema
        return False

    def _union(self, kind: Any) -> _Schema:
        structs = [member for member in kind.types if isinstance(_bare(member), kinds.StructType)]
        members: list[_Schema] = []
        for member in kind.types:
            schema = self._of(member)
            tag_field = getattr(_bare(member), "tag_field", None)
            if len(structs) > 1 and tag_field is not None and not _bare(member).array_like:
                # Alone, a Struct does without its tag.
                schema["required"] = [tag_field]
            members.append(schema)
        return {"anyOf": members}

    def _struct(self, kind: Any, descriptions: dict[str, str]) -> _Schema:
        tag = {} if kind.tag_field is None else {"const": kind.tag}
        if kind.array_like:
            items = [self._field(field, descriptions) for field in kind.fields]
            needed = max((number for number, field in enumerate(kind.fields, 1) if field.required), default=0)
            if tag:
                items, needed = [tag, *items], needed + 1
            return _array_of(items, needed, open_ended=not kind.forbid_unknown_fields)
        schema = self._object(kind, descriptions)
        if tag:
            schema["properties"] = {kind.tag_field: tag, **schema["properties"]}
        if kind.forbid_unknown_fields:
            schema["additionalProperties"] = False
        return schema

    def _object(self, kind: Any, descriptions: dict[str, str]) -> _Schema:
        schema: _Schema = {
            "type": "object",
            "properties": {field.encode_name: self._field(field, descriptions) for field in kind.fields},
        }
        required = [field.encode_name for field in kind.fields if field.required]
        if required:
            schema["required"] = required
        return schema

    def _named_tuple(self, kind: Any, descriptions: dict[str, str]) -> _Schema:
        items = [self._field(field, descriptions) for field in kind.fields]
        return _array_of(items, sum(field.required for field in kind.fields), open_ended=False)

    def _field(self, field: Any, descriptions: dict[str, str]) -> _Schema:
        schema = self._of(field.type)
        if field.name in descriptions:
            schema.setdefault("description", descriptions[field.name])
        default = field.default
        if field.default_factory in (list, dict, set, frozenset, tuple):
            default = field.default_factory()
        if default is not msgspec.NODEFAULT:
            try:
                schema.setdefault("default", msgspec.json.decode(encode(default)))
            except Unencodable:
                pass
        return schema

    def _enum(self, kind: Any, _descriptions: dict[str, str]) -> _Schema:
        return {"enum": _choices(kind)}

    def _custom(self, kind: Any) -> _Schema:
        """A class whose instances plain JSON values already are, such as `numbers.Number`."""
        types = [name for name, sample in _SAMPLES.items() if isinstance(sample, kind.cls)]
        return {} if len(types) == len(_SAMPLES) else {"type": types}


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
    return {"type": "string", "contentEncoding": "base64", "pattern": f"^(?:{'|'.join(forms)})$"}


def _moment(_schemas: Schemas, kind: Any) -> _Schema:
    offset = {True: _OFFSET, False: "", None: f"{_OFFSET}?"}[kind.tz]
    if isinstance(kind, kinds.TimeType):
        return {"type": "string", "pattern": f"^{_CLOCK}{offset}$", "examples": ["12:00:00" + "Z" * bool(kind.tz)]}
    example = "2024-01-15T12:00:00" + "Z" * (kind.tz is not False)
    return {"type": "string", "pattern": f"^{_DAY}[Tt ]{_CLOCK}{offset}$", "examples": [example]}


def _literal(_schemas: Schemas, kind: Any) -> _Schema:
    return {"enum": _choices(kind)}


def _choices(kind: Any) -> list[Any]:
    return [member.value for member in kind.cls] if isinstance(kind, kinds.EnumType) else list(kind.values)


def _bounds(kind: Any, of: str) -> _Schema:
    bounds = {f"min{of}": kind.min_length, f"max{of}": kind.max_length}
    return {keyword: bound for keyword, bound in bounds.items() if bound is not None}


def _array_of(items: list[_Schema], needed: int, *, open_ended: bool) -> _Schema:
    """An array with a schema for each place; `needed` of them must be there."""
    schema: _Schema = {"type": "array"}
    if items:
        schema["prefixItems"] = items
    schema["minItems"] = needed
    if not open_ended:
        schema["maxItems"] = len(items)
    return schema


def _bare(kind: Any) -> Any:
    while isinstance(kind, kinds.Metadata):
        kind = kind.type
    return kind


def _class_name(cls: Any) -> str:
    """The name as people write it, such as `Box[int]`."""
    arguments = ", ".join(getattr(argument, "__name__", str(argument)) for argument in typing.get_args(cls))
    origin = typing.get_origin(cls) or cls
    return f"{origin.__name__}[{arguments}]" if arguments else origin.__name__


def _own_docstring(cls: Any) -> str | None:
    """The docstring that somebody wrote for this class, not one that is inherited or made by a decorator."""
    cls = typing.get_origin(cls) or cls
    text = cls.__dict__.get("__doc__")
    if not text or text.startswith(f"{cls.__name__}(") or (issubclass(cls, enum.Enum) and text == "An enumeration."):
        return None
    return text


_DEFINED: dict[type, Callable[[Schemas, Any, dict[str, str]], _Schema]] = {
    kinds.StructType: Schemas._struct,
    kinds.DataclassType: Schemas._object,
    kinds.TypedDictType: Schemas._object,
    kinds.NamedTupleType: Schemas._named_tuple,
    kinds.EnumType: Schemas._enum,
}
"""The classes that have a definition of their own; the last argument are the descriptions of their fields."""

_MAKERS: dict[type, Callable[[Schemas, Any], _Schema]] = {
    kinds.IntType: _number,
    kinds.FloatType: _number,
    kinds.StrType: _text,
    kinds.BytesType: _bytes,
    kinds.ByteArrayType: _bytes,
    kinds.MemoryViewType: _bytes,
    kinds.DateTimeType: _moment,
    kinds.TimeType: _moment,
    kinds.LiteralType: _literal,
    kinds.ListType: Schemas._array,
    kinds.SetType: Schemas._array,
    kinds.FrozenSetType: Schemas._array,
    kinds.CollectionType: Schemas._array,
    kinds.VarTupleType: Schemas._array,
    kinds.TupleType: Schemas._tuple,
    kinds.DictType: Schemas._dict,
    kinds.UnionType: Schemas._union,
    kinds.Metadata: Schemas._metadata,
    kinds.CustomType: Schemas._custom,
}
