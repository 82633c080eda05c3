"""Between JSON and the parameters of an action, by its type hints.

Built once per action, in the zygote, so that an attempt only decodes.
"""

from __future__ import annotations

import datetime
import typing
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ziet import _limits
from ziet._encode import Unencodable, encode
from ziet._errors import InputError
from ziet._fields import class_of, is_path
from ziet._function import NO_DEFAULT, parameters, varkeywords
from ziet._hints import Hints
from ziet._problems import MOST_FOUND, listed, malformed, unknown_parameter, value_text, wrong_parts
from ziet._stand_ins import decoder
from ziet._type_text import bare, expected_text, type_text, union_members

if TYPE_CHECKING:
    from collections.abc import Callable

    from ziet._action import ActionFunction

_MISSING: Any = object()
_TEXTS = (
    str,
    bytes,
    bytearray,
    memoryview,
    datetime.date,
    datetime.time,
    datetime.timedelta,
    uuid.UUID,
)


class Field(NamedTuple):
    """A parameter with its resolved hint."""

    name: str
    hint: Any
    adapted: Any
    """The hint as msgspec takes it."""
    default: Any
    keyword_only: bool
    decode: Callable[[bytes | msgspec.Raw], Any]
    """JSON to the value that the hint asks for."""

    @property
    def required(self) -> bool:
        """Whether a call must give it."""
        return self.default is NO_DEFAULT


class Inputs:
    """The parameters of one action.

    Raises:
        DefinitionError: A hint cannot be resolved, or no value of it can be made from JSON.
    """

    accepts_unknown: bool
    """Whether parameters that the signature does not name are taken, by `**kwargs`."""

    def __init__(self, action: ActionFunction[..., Any]) -> None:
        self._action = action
        hints = Hints(action)
        self.fields: list[Field] = [_field(hints, *parameter) for parameter in parameters(hints.owner)]
        rest = varkeywords(hints.owner)
        self.accepts_unknown = rest is not None
        self.rest = None if rest is None else _field(hints, rest, NO_DEFAULT, True)
        """What each parameter must be that the signature does not name; None where there may be none."""
        self._names = tuple(field.name for field in self.fields)
        self._has_defaults = any(not field.required for field in self.fields)
        self._decode_all = None if self.rest else decoder(self._struct())

    def decode(self, data: bytes) -> dict[str, Any]:
        """The arguments to call the function with. Parameters that are not given are left to their defaults.

        Raises:
            InputError: The JSON is none, no object, over 6 MB, or has wrong, missing or unknown parameters; all of
                these are told together, up to a number.
        """
        if len(data) > _limits.MAX_JSON_BYTES:
            raise self._error([("", _limits.too_large(len(data)) or "")])
        if self._decode_all is not None:
            try:
                values = msgspec.structs.astuple(self._decode_all(data))
            except MemoryError:
                raise
            except Exception:  # noqa: BLE001 - whatever it is, the other way comes upon it too, and can say more
                pass
            else:
                given = zip(self._names, values, strict=True)
                if self._has_defaults:
                    return {name: value for name, value in given if value is not _MISSING}
                return dict(given)
        return self._decode_each(data)

    def parameters(self) -> list[dict[str, Any]]:
        """What a command line or a form needs to know of each parameter.

        Each has `name`; `type`, as people write it; `required`; `default` as JSON, None if there is none or it is not
        JSON; `text`, which tells whether a value given as text is meant as it stands: "always" for str and others that
        are text in JSON, "unless_null" if they are optional, "never" for any other.
        """
        return [
            {
                "name": field.name,
                "type": type_text(field.hint),
                "required": field.required,
                "default": _json_default(field.default),
                "text": _takes_text(field.hint),
            }
            for field in self.fields
        ]

    def encode_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """The arguments of a call as a JSON object, in the order of the signature; equal arguments give equal bytes.

        Raises:
            TypeError: The arguments do not fit the signature, or one of them is not JSON.
            InputError: They are over 6 MB.
        """
        members = [
            msgspec.json.encode(name) + b":" + self._encode_argument(name, value)
            for name, value in self._bound(args, kwargs).items()
        ]
        data = b"{" + b",".join(members) + b"}"
        excess = _limits.too_large(len(data))
        if excess:
            raise self._error([("", excess)])
        return data

    def _struct(self) -> type[msgspec.Struct]:
        """One class that takes all parameters at once.

        Its own field names are numbers: a parameter may be called like something that every Struct has.
        """
        fields: list[Any] = []
        for index, field in enumerate(self.fields):
            known = (f"p{index}", field.adapted)
            fields.append(known if field.required else (*known, _MISSING))
        return msgspec.defstruct(
            "Input",
            fields,
            rename={f"p{index}": name for index, name in enumerate(self._names)},
            forbid_unknown_fields=True,
            kw_only=True,
        )

    def _decode_each(self, data: bytes) -> dict[str, Any]:
        """Parameter by parameter: slower, but it comes upon every mistake."""
        values = self._json_object(data)
        raw = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        arguments: dict[str, Any] = {}
        problems: list[tuple[str, str]] = []
        for field in self.fields:
            if field.name in raw:
                self._convert(field, field.name, raw[field.name], values[field.name], arguments, problems)
            elif field.required:
                problems.append((field.name, f"missing, expected {expected_text(field.hint)}"))
        for name in raw:
            if name in self._names:
                continue
            if len(problems) >= MOST_FOUND:
                break
            if self.rest is not None:
                self._convert(self.rest, name, raw[name], values[name], arguments, problems)
            else:
                problems.append((name, unknown_parameter(name, self._names)))
        if problems:
            raise self._error(problems)
        return arguments

    def _json_object(self, data: bytes) -> dict[str, Any]:
        try:
            values = msgspec.json.decode(data)
        except (ValueError, RecursionError) as error:
            raise self._error([("", malformed(data, error))]) from None
        if not isinstance(values, dict):
            raise self._error([("", f"expected a JSON object with the parameters, got {value_text(values)}")])
        return values  # pyright: ignore[reportUnknownVariableType]

    def _convert(
        self,
        field: Field,
        name: str,
        raw: msgspec.Raw,
        value: Any,
        arguments: dict[str, Any],
        problems: list[tuple[str, str]],
    ) -> None:
        try:
            arguments[name] = field.decode(raw)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - a class of the user may raise anything while it is made
            problems.extend(wrong_parts(field.hint, value, name))

    def _error(self, problems: list[tuple[str, str]]) -> InputError:
        return InputError(f"wrong input for {self._action.id}:{listed(problems)}", problems)

    def _encode_argument(self, name: str, value: Any) -> bytes:
        try:
            return encode(value, deterministic=True)
        except Unencodable as error:
            function = self._action.__name__
            raise TypeError(
                f"{function}() runs in another process and its argument {name!r} cannot travel there as JSON: "
                f"{error.text(name)}; "
                f"{function}.local() calls the function in this process"
            ) from None

    def _bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments by name in the order of the signature, those of `**kwargs` last and sorted."""
        function = self._action.__name__
        positional = [field.name for field in self.fields if not field.keyword_only]
        if len(args) > len(positional):
            were = "was" if len(args) == 1 else "were"
            raise TypeError(f"{function}() takes {_count(len(positional), 'positional')} but {len(args)} {were} given")
        given = dict(zip(positional, args, strict=False))
        for name in kwargs:
            if name in given:
                raise TypeError(f"{function}() got multiple values for argument {name!r}")
            if name not in self._names and not self.accepts_unknown:
                raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")
        given.update(kwargs)
        missing = [field.name for field in self.fields if field.required and field.name not in given]
        if missing:
            names = ", ".join(repr(name) for name in missing)
            raise TypeError(f"{function}() missing {_count(len(missing), 'required')}: {names}")
        order = [*self._names, *sorted(kwargs.keys() - set(self._names))]
        return {name: given[name] for name in order if name in given}


def _field(hints: Hints, name: str, default: Any, keyword_only: bool) -> Field:
    hint = hints.of_parameter(name)
    # `x: str = None` means an optional str, and up to Python 3.10 `get_type_hints` says so itself.
    if default is None and hint is not Any and type(None) not in union_members(hint) and bare(hint) is not None:
        hint = typing.Optional[hint]  # noqa: UP045 - `hint | None` fails for hints that are no types
    taken, decode = hints.adapted(hint, f"parameter {name!r} has the type", "inside the function")
    return Field(name, hint, taken, default, keyword_only, decode)


def _json_default(default: Any) -> bytes | None:
    if default is NO_DEFAULT:
        return None
    try:
        return encode(default)
    except Unencodable:
        return None


def _takes_text(hint: Any) -> str:
    members = {bare(member) for member in union_members(hint)}
    optional = type(None) in members
    members.discard(type(None))
    kinds = [class_of(member) for member in members]
    if not kinds or not all(issubclass(kind, _TEXTS) or is_path(kind) for kind in kinds):
        return "never"
    return "unless_null" if optional else "always"


def _count(number: int, kind: str) -> str:
    return f"{number} {kind} argument{'' if number == 1 else 's'}"
