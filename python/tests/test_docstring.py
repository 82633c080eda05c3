"""What is read from docstrings in the three styles."""

import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziet._docstring import Described, Documentation, parse

TAX = Documentation(
    text="Calculate tax for a given amount and region.",
    parameters={"amount": "The subtotal amount in USD", "region": 'Two-letter region code (e.g., "CA", "NY")'},
    stores=[Described("tax_amount", "Tax amount in USD")],
    raises=[Described("ValueError", "If region is invalid")],
    returns=None,
)


def test_google():
    assert (
        parse(
            """
    Calculate tax for a given amount and region.

    Args:
        amount: The subtotal amount in USD
        region: Two-letter region code (e.g., "CA", "NY")

    Stores:
        tax_amount: Tax amount in USD

    Raises:
        ValueError: If region is invalid
    """
        )
        == TAX
    )


def test_numpy():
    assert (
        parse(
            """Calculate tax for a given amount and region.

    Parameters
    ----------
    amount : float
        The subtotal amount in USD
    region : str, optional
        Two-letter region code
        (e.g., "CA", "NY")

    Stores
    ------
    tax_amount : float
        Tax amount in USD

    Raises
    ------
    ValueError
        If region is invalid
    """
        )
        == TAX
    )


def test_sphinx():
    assert (
        parse(
            """Calculate tax for a given amount and region.

    :param amount: The subtotal amount in USD
    :type amount: float
    :param str region: Two-letter region code
        (e.g., "CA", "NY")
    :stores tax_amount: Tax amount in USD
    :raises ValueError: If region is invalid
    """
        )
        == TAX
    )


def one(docstring):
    """What an indented docstring of a function says."""
    return parse(textwrap.indent(docstring, "    "))


@pytest.mark.parametrize(
    ("docstring", "parameters"),
    [
        ("Args:\n  x (int): The x.", {"x": "The x."}),
        ("Args:\n  x (dict[str, int], optional): The x: all.", {"x": "The x: all."}),
        ("Args:\n  *args: More.\n  **kwargs: Most.", {"args": "More.", "kwargs": "Most."}),
        ("Args:\n  \\*args: More.\n  `x`: The x.", {"args": "More.", "x": "The x."}),
        ("Args:\n  x, y: Both.", {"x": "Both.", "y": "Both."}),
        ("Args:\n  x: Long\n    and wrapped.\n  y: Wrapped\n  but not indented.",
         {"x": "Long and wrapped.", "y": "Wrapped but not indented."}),
        ("Args:\n  x: One of\n\n    - a,\n    - b\n      or so.", {"x": "One of\n- a,\n- b or so."}),
        ("Args:\n  x:\n    Below.\n  y:", {"x": "Below."}),
        ("Args:\n  nothing to say\n  x: The x.", {"x": "The x."}),
        ("Args:\n\tx: Tab.\n\ty: Tab.", {"x": "Tab.", "y": "Tab."}),
        ("Args:\n  x: The x.\n\nKeyword Args:\n  y: The y.", {"x": "The x.", "y": "The y."}),
        ("Args:\n  x: First.\n\nArgs:\n  x: Second.\n  y: The y.", {"x": "First.", "y": "The y."}),
        ("Args:", {}),
        ("Parameters\n----------\nx, y : int, optional\n    Both.\n*args\n    More.\nz",
         {"x": "Both.", "y": "Both.", "args": "More."}),
        ("Parameters\n---\nx\n    Short line.\n\nOther Parameters\n----------------\ny : int\n    The y.",
         {"x": "Short line.", "y": "The y."}),
        (":param x: The x.\n:param a b c d: Too many.\n:arg y: The y.\n:keyword int z: The z.",
         {"x": "The x.", "y": "The y.", "z": "The z."}),
        (":param x: The x.\n\nText that is not of x.", {"x": "The x."}),
        ("Attributes:\n  x: Of a class.", {"x": "Of a class."}),
    ],
)  # fmt: skip
def test_parameters_as_they_are_written(docstring, parameters):
    assert one(f"Does it.\n\n{docstring}").parameters == parameters
    assert one(docstring).parameters == parameters
    assert parse(docstring).parameters == parameters


@pytest.mark.parametrize(
    ("docstring", "stores"),
    [
        ("Stores:\n  total (float): The total.", [("total", "The total.")]),
        ("Stores:\n  user_{user_id}: The user\n    as a dict.", [("user_{user_id}", "The user as a dict.")]),
        ("Stores:\n  `a`: A.\n  \"b\": B.", [("a", "A."), ("b", "B.")]),
        ("Stores\n------\na\n    A.\nb : int\n    B.", [("a", "A."), ("b", "B.")]),
        (":stores a: A.\n:stores b:", [("a", "A."), ("b", "")]),
    ],
)  # fmt: skip
def test_stored_keys(docstring, stores):
    assert one(docstring).stores == stores


@pytest.mark.parametrize(
    ("docstring", "raises"),
    [
        ("Raises:\n  ValueError: If so.\n  requests.HTTPError: If not.",
         [("ValueError", "If so."), ("requests.HTTPError", "If not.")]),
        ("Raises\n------\nValueError\n    If so.\nKeyError", [("ValueError", "If so."), ("KeyError", "")]),
        (":raises ValueError: If so.\n:raise KeyError: If not.", [("ValueError", "If so."), ("KeyError", "If not.")]),
        ("Raises:\n  ValueError, KeyError: If so.", [("ValueError", "If so."), ("KeyError", "If so.")]),
    ],
)  # fmt: skip
def test_errors(docstring, raises):
    assert one(docstring).raises == raises


@pytest.mark.parametrize(
    "docstring",
    [
        "Returns:\n  The total\n  of all.",
        "Returns:\n  float: The total of all.",
        "Returns\n-------\nfloat\n    The total of all.",
        "Returns\n-------\ntotal : float\n    The total of all.",
        ":returns: The total\n  of all.\n:rtype: float",
    ],
)
def test_the_result(docstring):
    assert one(f"Does it.\n\n{docstring}").returns == "The total of all."


@pytest.mark.parametrize(
    ("docstring", "text"),
    [
        (None, ""),
        ("", ""),
        ("One line.", "One line."),
        ("One line: with a colon", "One line: with a colon"),
        ("Summary.\n\n  Body,\n  wrapped.\n\n    code\n\n  Args:\n    x: The x.\n  ",
         "Summary.\n\nBody,\nwrapped.\n\n  code"),
        ("Summary.\n\n  Note:\n    Kept.\n\n  Args:\n    x: The x.\n\n  Last words.",
         "Summary.\n\nNote:\n  Kept.\n\nLast words."),
        ("Summary.\n\n  Parameters\n  ----------\n  x\n    The x.\n\n  Notes\n  -----\n  Kept.",
         "Summary.\n\nNotes\n-----\nKept."),
        ("Summary.\n\n  :param x: The x.\n  :unknown: Kept.", "Summary.\n\n:unknown: Kept."),
    ],
)  # fmt: skip
def test_the_text_is_what_is_no_section(docstring, text):
    assert parse(docstring).text == text


def test_styles_may_be_mixed():
    found = one(
        "Does it.\n\nArgs:\n  a: A.\n\n:param b: B.\n\nParameters\n----------\nc : int\n    C.\n\n"
        "Raises:\n  KeyError: K."
    )
    assert found == Documentation(
        "Does it.", {"a": "A.", "b": "B.", "c": "C."}, [], [Described("KeyError", "K.")], None
    )


LINES = """\
Args:
Stores:
Raises:
Returns:
  x: X
    more
  (
:param x: X
:param
:stores:
:raises
Parameters
----------
Stores
------
x : int

é:
::
*
Text.
  : y
""".splitlines()


@given(st.one_of(st.text(), st.lists(st.sampled_from([*LINES, "\t"]), max_size=12).map("\n".join)))
def test_no_docstring_is_too_odd(docstring):
    found = parse(docstring)
    assert all(found.parameters)
    assert all(found.parameters.values())
