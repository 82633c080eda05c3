"""What a docstring says: its text, and what its sections tell of parameters, stored keys, errors and the result.

Sections in the Google, NumPy and Sphinx styles may stand side by side. Each is cut out here and read alone by
docstring_parser, so that one which it cannot read costs only itself. Importing this takes long: a plain run never does.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, NamedTuple

from docstring_parser import google, numpydoc, rest
from docstring_parser.common import DocstringMeta, DocstringParam, DocstringRaises, DocstringReturns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Described(NamedTuple):
    """A name, such as a memory key or the type of an error, and what is said of it."""

    name: str
    description: str


class Documentation(NamedTuple):
    """A docstring, taken apart. Descriptions are on one line, but for paragraphs and lists in them."""

    text: str
    """The docstring without the sections that the other fields hold."""
    parameters: dict[str, str]
    """By name, without the stars of `*args`; for a class these are its attributes."""
    stores: list[Described]
    raises: list[Described]
    returns: str | None


_MULTIPLE, _EITHER = google.SectionType.MULTIPLE, google.SectionType.SINGULAR_OR_MULTIPLE
_PARAMETERS = ("Args", "Arguments", "Parameters", "Params", "Attributes")
_OTHER_PARAMETERS = ("Keyword Args", "Keyword Arguments", "Other Parameters", "Other Args", "Other Arguments")
_RAISES = ("Raises", "Raise", "Exceptions")
_STORES = ("Stores", "Store")
_RETURNS = ("Returns", "Return")

_GOOGLE = google.GoogleParser([
    *(google.Section(title, "param", _MULTIPLE) for title in (*_PARAMETERS, *_OTHER_PARAMETERS)),
    *(google.Section(title, "raises", _MULTIPLE) for title in _RAISES),
    *(google.Section(title, "stores", _MULTIPLE) for title in _STORES),
    *(google.Section(title, "returns", _EITHER) for title in _RETURNS),
])  # fmt: skip
_NUMPY: dict[str, numpydoc.Section] = {
    **{title: numpydoc.ParamSection(title, "param") for title in (*_PARAMETERS, *_OTHER_PARAMETERS)},
    **{title: numpydoc.RaisesSection(title, "raises") for title in _RAISES},
    **{title: numpydoc.ParamSection(title, "stores") for title in _STORES},
    **{title: numpydoc.ReturnsSection(title, "returns") for title in _RETURNS},
}

_START = re.compile(
    r"^(?:(?P<google>[A-Z]\w+(?: \w+)?):[ \t]*$"
    r"|(?P<numpy>[A-Z]\w+(?: \w+){0,2})[ \t]*\n-{3,}[ \t]*$"
    r"|:(?P<sphinx>[a-z]\w*)\b[^:\n]*:)",
    re.MULTILINE,
)
_SPHINX = frozenset(
    [*("param", "parameter", "arg", "argument", "key", "keyword", "attribute", "type", "rtype"),
     *("return", "returns", "raise", "raises", "except", "exception", "stores", "store")]
)  # fmt: skip
_UNINDENTED = re.compile(r"^\S", re.MULTILINE)
_WRAPPED = re.compile(r"(?<!\n)\n(?!\n|[-*•] |\d+[.)] )[ \t]*")


def parse(docstring: str | None) -> Documentation:
    """Takes a docstring apart; whatever cannot be read is left out."""
    found = Documentation("", {}, [], [], None)
    texts: list[str] = []
    for section, style, title in _sections(_clean(docstring or "")):
        if style is None:
            texts.append(section.strip())
            continue
        for piece in _pieces(section, style):
            found = _noted(found, _read(piece, style, title))
    return found._replace(text="\n\n".join(text for text in texts if text))


def _clean(docstring: str) -> str:
    text = inspect.cleandoc(docstring)
    title = _START.match(text)
    if title and title["google"] and not text[title.end() : title.end() + 2].endswith(" "):
        # The first line's indentation cannot be known, so what stands below this title seemed to stand beside it.
        return text[: title.end()] + text[title.end() :].replace("\n", "\n    ")
    return text


def _sections(text: str) -> Iterator[tuple[str, str | None, str]]:
    """Each section with its style and title; plain text has no style."""
    position = 0
    starts = list(_START.finditer(text))
    for start, following in zip(starts, [*starts[1:], None], strict=False):
        style = start.lastgroup
        assert style is not None
        title = start[style]
        limit = following.start() if following else len(text)
        if style == "numpy":
            # Its items are not indented, so it goes on to the next title.
            end = limit
        else:
            rest = _UNINDENTED.search(text, start.end() + 1, limit)
            end = rest.start() if rest else limit
        if title in (_SPHINX if style == "sphinx" else _NUMPY):
            yield text[position : start.start()], None, ""
            yield text[start.start() : end], style, title
            position = end
    yield text[position:], None, ""


def _pieces(section: str, style: str) -> Iterable[str]:
    """The section, or each item of a Google section with the title before it: an odd item then harms no other."""
    title, _, body = section.partition("\n")
    body = body.strip("\n")
    if style != "google" or title.rstrip(" :") in _RETURNS:
        return [section]
    indent = body[: len(body) - len(body.lstrip())]
    items = re.split(rf"\n(?={indent}[^\s:][^\n]*:)", body)
    # A line that goes on with an item, but is not indented more, would be taken for another.
    return [f"{title}\n" + item.replace("\n", "\n ") for item in items]


def _read(piece: str, style: str, title: str) -> Iterable[DocstringMeta]:
    try:
        if style == "google":
            # With its title in the first line, the parser would take the indentation of the items away.
            return _GOOGLE.parse(f"\n{piece}").meta
        if style == "numpy":
            return list(_NUMPY[title].parse(piece.split("\n", 2)[2]))
        return rest.parse(piece).meta
    except Exception:  # noqa: BLE001 - a docstring is prose, and nothing that it says may stop a project
        return []


def _noted(found: Documentation, items: Iterable[DocstringMeta]) -> Documentation:
    for item in items:
        description = _unwrapped(item.description)
        if isinstance(item, DocstringReturns):
            found = found._replace(returns=found.returns or description or None)
        elif isinstance(item, DocstringRaises):
            names = _names(item.type_name)
            found.raises.extend(Described(name, description) for name in names)
        elif item.args[0].startswith("store"):
            # What follows the key in parentheses is its type.
            key = item.args[1] if len(item.args) > 1 else ""
            found.stores.append(Described(key.split(" (")[0].strip(" \"'`"), description))
        elif isinstance(item, DocstringParam):
            for name in _names(item.arg_name):
                if description:
                    found.parameters.setdefault(name, description)
    return found


def _names(written: str | None) -> list[str]:
    """The names in `x, y`, `*args` or what a linter makes of it, `\\*args`."""
    return [name.strip(" \\*`") for name in (written or "").split(",") if name.strip(" \\*`")]


def _unwrapped(text: str | None) -> str:
    return _WRAPPED.sub(" ", "\n".join(line.rstrip() for line in (text or "").strip().splitlines()))
