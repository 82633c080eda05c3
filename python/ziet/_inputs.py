"""Between JSON and the parameters of an action, by its type hints.

Built once per action, in the zygote, so that an attempt only decodes. Mistakes of the hints are told here, since
reading them needs msgspec, which `import ziet` must not load.
"""

from __future__ import annotations

import importlib
import types
import typing
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ziet import _limits
from ziet._encode import Unencodable, encode
from ziet._errors import InputError
from ziet._function import NO_DEFAULT, definition_error, parameters, signature_owner, varkeywords
from ziet._problems import malformed, unknown_parameter, value_text, wrong_value
from ziet._type_text import bare, expected_text, type_text, union_members

if TYPE_CHECKING:
    from collections.abc import Callable

    from ziet._action import ActionFunction

_MISSING: Any = object()
_NEVER_WRONG = (int, float, str, bool, list, dict, Any)


class Field(NamedTuple):
    """A parameter with its resolved hint."""

    name: str
    hint: Any
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
        owner = signature_owner(action.local)
        assert owner is not None
        hints = _Hints(action, owner)
        self.fields: list[Field] = [
            _field(action, hints, parameter.name, parameter.default, parameter.keyword_only)
            for parameter in parameters(owner)
        ]
        rest = varkeywords(owner)
        self.accepts_unknown = rest is not None
        self._rest = None if rest is None else _field(action, hints, rest, NO_DEFAULT, True)
        self._names = tuple(field.name for field in self.fields)
        self._decode_all = None if self._rest else msgspec.json.Decoder(self._struct()).decode
        self._return_hint = hints.of_return()
        self._decode_result: Callable[[bytes], Any] | None = None

    def decode(self, data: bytes) -> dict[str, Any]:
        """The arguments to call the function with. Parameters that are not given are left to their defaults.

        Raises:
            InputError: The JSON is none, no object, over 6 MB, or has wrong, missing or unknown parameters; all of
                these are told together.
        """
        excess = _limits.too_large(len(data))
        if excess:
            raise self._error([("", excess)])
        if self._decode_all is not None:
            try:
                values = msgspec.structs.astuple(self._decode_all(data))
            except MemoryError:
                raise
            except Exception:  # noqa: BLE001 - whatever it is, the other way comes upon it too, and can say more
                pass
            else:
                return {name: value for name, value in zip(self._names, values, strict=True) if value is not _MISSING}
        return self._decode_each(data)

    def parameters(self) -> list[dict[str, Any]]:
        """What a command line or a form needs to know of each parameter.

        Each has `name`; `type`, as people write it; `required`; `default` as JSON, None if there is none or it is not
        JSON; `text`, which tells whether a value given as text is meant as it stands: "always" for str, "unless_null"
        for an optional str, "never" for any other.
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

    def result(self, data: bytes) -> Any:
        """A result as the return annotation describes it, as a plain JSON value if it does not fit that."""
        if self._decode_result is None:
            self._decode_result = _result_decoder(self._return_hint)
        try:
            return self._decode_result(data)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - a class of the user may raise anything while it is made
            # Python does not hold functions to their return annotation, so neither may a call of a child run.
            return msgspec.json.decode(data)

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
            known = (f"p{index}", field.hint)
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
            if self._rest is not None:
                self._convert(self._rest, name, raw[name], values[name], arguments, problems)
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
        except Exception as error:  # noqa: BLE001 - a class of the user may raise anything while it is made
            problems.append(wrong_value(name, expected_text(field.hint), value, error, field.decode))

    def _error(self, problems: list[tuple[str, str]]) -> InputError:
        texts = [f"{parameter}: {text}" if parameter else text for parameter, text in problems]
        separator = " " if len(texts) == 1 else "\n  "
        return InputError(f"wrong input for {self._action.id}:{separator}{separator.join(texts)}", problems)

    def _encode_argument(self, name: str, value: Any) -> bytes:
        try:
            return encode(value, deterministic=True)
        except Unencodable as error:
            function = self._action.__name__
            raise TypeError(
                f"{function}() runs in another process and its argument {name!r} cannot travel there as JSON: {error}; "
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


class _Hints:
    """The type hints of a function, resolved one by one where they cannot be resolved together."""

    def __init__(self, action: ActionFunction[..., Any], owner: types.FunctionType) -> None:
        self._action = action
        self._owner = owner
        self._annotations = _annotations(owner)

    def of_parameter(self, name: str) -> Any:
        if name not in self._annotations:
            return Any
        try:
            return self._resolve(name)
        except Exception as error:  # noqa: BLE001 - evaluating a hint executes what the user wrote
            written = self._annotations[name]
            shown = written if isinstance(written, str) else type_text(written)
            raise definition_error(
                self._action.place,
                f"the type of parameter {name!r}, {shown}, cannot be resolved ({error})",
                "import or define what it names at the top of the module, not only for type checkers",
            ) from None

    def of_return(self) -> Any:
        try:
            return self._resolve("return") if "return" in self._annotations else Any
        except Exception:  # noqa: BLE001 - a result is only rebuilt by it, and plain JSON serves too
            return Any

    def _resolve(self, name: str) -> Any:
        def holder() -> None: ...

        holder.__annotations__ = {name: self._annotations[name]}
        hints = typing.get_type_hints(holder, globalns=self._owner.__globals__, include_extras=True)
        return hints[name]


def _annotations(owner: types.FunctionType) -> dict[str, Any]:
    try:
        return owner.__annotations__
    except NameError:
        # From Python 3.14 on they are evaluated only when asked for, and so fail only now.
        lazy = importlib.import_module("annotationlib")
        return lazy.get_annotations(owner, format=lazy.Format.FORWARDREF)


def _field(action: ActionFunction[..., Any], hints: _Hints, name: str, default: Any, keyword_only: bool) -> Field:
    hint = hints.of_parameter(name)
    # `x: str = None` means an optional str, and up to Python 3.10 `get_type_hints` says so itself.
    if default is None and hint is not Any and type(None) not in union_members(hint) and bare(hint) is not None:
        hint = typing.Optional[hint]  # noqa: UP045 - `hint | None` fails for hints that are no types
    problem = None
    decode = None
    try:
        decode = msgspec.json.Decoder(hint).decode
        problem = _not_from_json(hint)
    except Exception as error:  # noqa: BLE001 - msgspec evaluates the hints of the user's classes
        problem = str(error).split(" - type ")[0]
    if problem is not None or decode is None:
        raise definition_error(
            action.place,
            f"parameter {name!r} has the type {type_text(hint)}, which cannot be made from JSON ({problem})",
            "use a type that can, such as str, int, list, dict or a dataclass, and convert inside the function",
        )
    return Field(name, hint, default, keyword_only, decode)


def _not_from_json(hint: Any) -> str | None:
    """Why no value of this hint can come from JSON. msgspec takes unknown classes and would fail with every value."""
    if any(hint is known for known in _NEVER_WRONG):
        return None
    seen: set[int] = set()
    stack: list[Any] = [msgspec.inspect.type_info(hint)]
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, msgspec.inspect.CustomType) and not _is_json_kind(node.cls):
            return f"{type_text(node.cls)} is not a type that JSON values are converted to"
        for attribute in ("type", "types", "item_type", "item_types", "key_type", "value_type", "fields"):
            inner = getattr(node, attribute, ())
            stack.extend(inner if isinstance(inner, tuple) else (inner,))  # pyright: ignore[reportUnknownArgumentType]
    return None


def _is_json_kind(kind: Any) -> bool:
    """Whether plain JSON values are instances, as of `object` or `numbers.Number`."""
    try:
        return any(issubclass(plain, kind) for plain in (str, int, float, list, dict))
    except TypeError:
        return False


def _result_decoder(hint: Any) -> Callable[[bytes], Any]:
    try:
        return msgspec.json.Decoder(hint).decode
    except Exception:  # noqa: BLE001 - a type that JSON cannot carry: its plain form is what there is
        return msgspec.json.decode


def _json_default(default: Any) -> bytes | None:
    if default is NO_DEFAULT:
        return None
    try:
        return encode(default)
    except Unencodable:
        return None


def _takes_text(hint: Any) -> str:
    members = [bare(member) for member in union_members(hint)]
    if members == [str]:
        return "always"
    if len(members) == 2 and str in members and type(None) in members:
        return "unless_null"
    return "never"


def _count(number: int, kind: str) -> str:
    return f"{number} {kind} argument{'' if number == 1 else 's'}"
