"""The decorator: what it makes of a function, and what it refuses."""

import asyncio
import copy
import functools
import importlib
import inspect
import pickle
import sys

import pytest

from ziet import Action, DefinitionError, _project, _registry


@Action(description="Process payment transaction")
def process_payment(amount: int, currency: str = "usd") -> dict:
    """Takes money."""
    return {"amount": amount, "currency": currency}


@Action(description="Wait", id="waiting", name="Waiting room", timeout=30, retries=3)
async def wait_a_bit(seconds: float) -> float:
    return seconds


def doubled(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs) * 2

    return wrapper


@Action(description="Wrapped")
@doubled
def wrapped(text: str) -> str:
    return text


@Action(description="Its parameter is called self")
def with_self(self: int, id: int = 0) -> int:
    return self + id


def test_defaults_are_made_from_module_and_function():
    assert process_payment.id == f"{__name__}.process_payment"
    assert process_payment.name == "Process Payment"
    assert process_payment.description == "Process payment transaction"
    assert (process_payment.timeout, process_payment.retries) == (300, 0)
    assert (process_payment.memory, process_payment.isolation) == (10 * 1024**3, "shared")
    assert process_payment.on_lost == "rerun"
    assert not process_payment.is_async


def test_options_are_kept():
    assert (wait_a_bit.id, wait_a_bit.name, wait_a_bit.timeout, wait_a_bit.retries) == (
        "waiting",
        "Waiting room",
        30,
        3,
    )
    assert wait_a_bit.is_async


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [
        ("16MB", 16 * 1024**2),
        ("512mb", 512 * 1024**2),
        (" 1.5 GB ", 1536 * 1024**2),
        ("10240 MB", 10 * 1024**3),
        ("10GB", 10 * 1024**3),
    ],
)
def test_memory_is_a_number_with_its_unit(define, text, nbytes):
    action = define(f"@Action(description='d', memory={text!r}, isolation='attempt')\ndef f(): ...")["f"]
    assert (action.memory, action.isolation) == (nbytes, "attempt")
    spec = _project.spec(action, describe=False)
    assert (spec.memory, spec.isolation) == (nbytes, "attempt")


@pytest.mark.parametrize(
    ("function", "title"),
    [("fetch_user", "Fetch User"), ("fetchURL", "FetchURL"), ("_load__all_", "Load All"), ("_", "_"), ("a1", "A1")],
)
def test_the_name_is_a_title(define, function, title):
    action = define(f"@Action(description='d')\ndef {function}(): ...")[function]
    assert action.name == title


def test_it_looks_like_the_function():
    assert process_payment.__name__ == "process_payment"
    assert process_payment.__doc__ == "Takes money."
    assert str(inspect.signature(process_payment)) == "(amount: int, currency: str = 'usd') -> dict"
    assert repr(process_payment) == f"<action {process_payment.id}>"


def test_attributes_of_the_function_do_not_replace_those_of_the_action(define):
    source = "def f(): ...\nf.id = 'other'\nf.tag = 1\nf = Action(description='d')(f)"
    action = define(source)["f"]
    assert (action.id, action.tag) == ("shop.f", 1)


def test_outside_a_run_a_call_just_calls():
    assert process_payment(3, currency="eur") == {"amount": 3, "currency": "eur"}
    assert asyncio.run(wait_a_bit(1.5)) == 1.5
    assert with_self(self=1, id=2) == 3
    assert wrapped("ab") == "abab"


def test_inside_a_run_a_call_is_a_child_run(run):
    run.answer = "from the child"
    assert process_payment(3, currency="eur") == "from the child"
    assert run.calls == [(process_payment.id, (3,), {"currency": "eur"})]


def test_local_calls_the_plain_function_in_a_run_too(run):
    assert process_payment.local(3) == {"amount": 3, "currency": "usd"}
    assert run.calls == []


def test_a_copy_or_a_pickle_is_the_action_itself(define, monkeypatch):
    module = define("@Action(description='d')\ndef f(): ...")
    monkeypatch.setitem(sys.modules, "shop", type(sys)("shop"))
    vars(sys.modules["shop"])["f"] = module["f"]
    assert pickle.loads(pickle.dumps(module["f"])) is module["f"]
    assert copy.deepcopy(module["f"]) is module["f"]


def test_the_place_is_that_of_the_inner_function():
    assert wrapped.place.name == "wrapped"
    assert wrapped.place.file == __file__


OPTION = "@Action({})\ndef f(): ..."
WRONG_OPTIONS = [
    ("", '@Action has no description; write @Action(description="What it does")'),
    ("description=None", "@Action has no description; write"),
    ("description=''", "description must be a text that is not empty, got ''; write"),
    ("description='  '", "description must be a text that is not empty, got '  '; write"),
    ("description=5", "description must be a text that is not empty, got 5; write"),
    ("'What it does'", "options of @Action must be named, got 'What it does'; write @Action(description="),
    ("description='d', timeout=0", "timeout must be a whole number from 1 to 900 seconds, got 0; write timeout=1"),
    ("description='d', timeout=901", "got 901; write timeout=900"),
    ("description='d', timeout=-5", "got -5; write timeout=1"),
    ("description='d', timeout=2.5", "got 2.5; write timeout=300"),
    ("description='d', timeout='60'", "got '60'; write timeout=300"),
    ("description='d', timeout=True", "got True; write timeout=300"),
    ("description='d', timeout=None", "got None; write timeout=300"),
    ("description='d', retries=-1", "retries must be a whole number from 0 to 100, got -1; write retries=0"),
    ("description='d', retries=101", "got 101; write retries=100"),
    ("description='d', retries=False", "got False; write retries=3"),
    (
        "description='d', memory=512",
        'memory must be a text such as "512MB" or "1.5GB", from 16 MB to 10 GB, got 512; write memory="512MB"',
    ),
    ("description='d', memory=None", 'got None; write memory="512MB"'),
    ("description='d', memory='512'", "got '512'; write memory=\"512MB\""),
    ("description='d', memory='512 KB'", "got '512 KB'; write memory=\"512MB\""),
    ("description='d', memory='64MiB'", "got '64MiB'; write memory=\"64MB\""),
    ("description='d', memory='1.5 gib'", "got '1.5 gib'; write memory=\"1.5GB\""),
    ("description='d', memory='1e3MB'", "got '1e3MB'; write memory=\"512MB\""),
    ("description='d', memory='-1GB'", "got '-1GB'; write memory=\"512MB\""),
    ("description='d', memory='15.9MB'", "got '15.9MB'; write memory=\"16MB\""),
    ("description='d', memory='10.1GB'", "got '10.1GB'; write memory=\"10GB\""),
    ("description='d', memory='9' * 400 + 'GB'", 'write memory="10GB"'),
    (
        "description='d', isolation='process'",
        'isolation must be "shared" or "attempt", got \'process\'; write isolation="shared"',
    ),
    (
        "description='d', on_lost='retry'",
        'on_lost must be "rerun" or "fail", got \'retry\'; write on_lost="rerun"',
    ),
    ("description='d', on_lost=False", 'got False; write on_lost="fail"'),
    ("description='d', isolation=True", 'got True; write isolation="attempt"'),
    ("description='d', isolation=['shared']", "got ['shared']; write isolation="),
    ("description='d', id=''", "id must be a text that is not empty, got ''; write an id"),
    ("description='d', id=7", "id must be a text that is not empty, got 7; write an id"),
    ("description='d', id='a b'", "id 'a b' has characters outside A-Za-z0-9_.:- (' '); write an id"),
    ("description='d', id='zählen'", "id 'zählen' has characters outside A-Za-z0-9_.:- ('ä'); write an id"),
    ("description='d', id='a\\nb'", r"has characters outside A-Za-z0-9_.:- ('\n'); write an id"),
    ("description='d', id='x' * 129", "id has 129 characters, at most 128 are allowed; write an id"),
    ("description='d', name=''", "name must be a text that is not empty, got ''; write a name"),
    ("description='d', name=['a']", "name must be a text that is not empty, got ['a']; write a name"),
    ("description='d', retry=3", "unknown option 'retry'; did you mean 'retries'? the options are description, id"),
    ("description='d', Timeout=3", "unknown option 'Timeout'; did you mean 'timeout'?"),
    ("description='d', schedule='daily'", "unknown option 'schedule'; the options are description, id, name, timeout"),
]


@pytest.mark.parametrize(("options", "message"), WRONG_OPTIONS)
def test_wrong_options_are_told_with_place_and_remedy(define, options, message):
    with pytest.raises(DefinitionError) as caught:
        define("\n\n" + OPTION.format(options))
    assert str(caught.value).startswith("f (/shop.py, line 3): ")
    assert message in str(caught.value)
    assert "shop.f" not in _registry.actions


@pytest.mark.parametrize(
    "options", ["timeout=1", "timeout=900", "retries=0", "retries=100", "id='a.B:c-d_9'", "id='x' * 128", "name=' N '"]
)
def test_the_edges_of_what_is_allowed(define, options):
    assert define(OPTION.format(f"description='d', {options}"))["f"].description == "d"


DECORATED = "@Action(description='d')\n"
WRONG_FUNCTIONS = [
    ("@Action\ndef f(): ...", "f (/shop.py, line 1): @Action has no description; write @Action(description="),
    ("@Action\nclass C: ...", "C (/shop.py, line "),
    (f"class C:\n  {DECORATED}  def f(self): ...", "f (/shop.py, line 2): a method cannot be an action; write it as"),
    (f"class C:\n  {DECORATED}  @staticmethod\n  def f(): ...", "f (/shop.py, line 2): a method cannot be an action"),
    (f"class C:\n  {DECORATED}  @classmethod\n  def f(cls): ...", "a method cannot be an action"),
    (f"{DECORATED}class C: ...", "): a class cannot be an action; write a function"),
    ("f = Action(description='d')(lambda x: x)", "<lambda> (/shop.py, line 1): a lambda cannot be an action; write it"),
    (f"{DECORATED}def f(): yield 1", "f (/shop.py, line 1): a generator cannot be an action; return a list"),
    (f"{DECORATED}async def f(): yield 1", "a generator cannot be an action; return a list"),
    (f"def g():\n  {DECORATED}  def f(): ...\ng()", "f (/shop.py, line 2): a function inside another cannot be an"),
    (f"def g():\n  class C:\n    {DECORATED}    def f(self): ...\ng()", "a method cannot be an action"),
    (f"{DECORATED}def f(a, b, /, c): ...", "positional-only parameters (a, b) cannot be given by name; remove the `/`"),
    (f"{DECORATED}def f(a, *rest): ...", "*rest cannot be given by name; write `rest: list`"),
    ("f = Action(description='d')(len)", "len (/shop.py, line 1): an object of type builtin_function_or_method cannot"),
    (
        "f = Action(description='d')(object())",
        "object (/shop.py, line 1): an object of type object cannot be an action",
    ),
    ("from functools import *\nf = Action(description='d')(partial(print))", "an object of type partial cannot be"),
    (f"from functools import *\n{DECORATED}@cache\ndef f(): ...", "f (/shop.py, line 2): an object of type _lru_cache"),
    (f"{DECORATED}{DECORATED}def f(): ...", "f (/shop.py, line 1): it is an action already; write @Action once"),
    (f"{DECORATED}def zählen(): ...", "the id made from module and function name 'shop.zählen' has characters outside"),
]


@pytest.mark.parametrize(("source", "message"), WRONG_FUNCTIONS)
def test_what_is_no_plain_function_is_refused(define, source, message):
    with pytest.raises(DefinitionError) as caught:
        define(source)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrapper_counts_by_the_function_that_it_wraps(define):
    source = (
        "import functools\n"
        "def logged(function):\n"
        "  @functools.wraps(function)\n"
        "  def wrapper(*args, **kwargs): return function(*args, **kwargs)\n"
        "  return wrapper\n"
        "@Action(description='d')\n@logged\ndef f(a{}): ...\n"
    )
    assert str(define(source.format(""))["f"].place) == "f (/shop.py, line 6)"
    with pytest.raises(DefinitionError, match=r"f \(/shop.py, line 6\): positional-only parameters \(a\)"):
        define(source.format(", /"))


def test_a_wrapper_without_wraps_is_told_how_to_keep_the_signature(define):
    with pytest.raises(DefinitionError, match=r"a function inside another|functools\.wraps"):
        define(
            "def plain(f):\n  def wrapper(*args): ...\n  return wrapper\n@Action(description='d')\n@plain\ndef f(): ..."
        )


def test_two_functions_may_not_share_an_id(define):
    define("@Action(description='d', id='one')\ndef f(): ...")
    with pytest.raises(DefinitionError) as caught:
        define("\n@Action(description='d', id='one')\ndef g(): ...")
    assert str(caught.value) == (
        "g (/shop.py, line 2): the id 'one' belongs to f (/shop.py, line 1) already; give one of the two another id"
    )
    assert _registry.actions["one"].__name__ == "f"


def test_the_same_function_again_replaces(define):
    first = define("@Action(description='first')\ndef f(): ...")["f"]
    second = define("\n\n@Action(description='second')\ndef f(): ...")["f"]
    assert first is not second
    assert _registry.actions["shop.f"] is second


def test_a_file_under_two_module_names_replaces(define):
    define("@Action(description='d', id='one')\ndef f(): ...")
    again = define("@Action(description='d', id='one')\ndef f(): ...", __name__="src.shop")["f"]
    assert _registry.actions["one"] is again


def test_a_function_of_another_file_does_not_replace(define):
    define("@Action(description='d', id='one')\ndef f(): ...")
    with pytest.raises(DefinitionError, match="the id 'one' belongs to f"):
        define("\n@Action(description='d', id='one')\ndef f(): ...", __name__="src.shop")


def test_reloading_a_module_replaces(tmp_path, monkeypatch):
    (tmp_path / "reloaded_shop.py").write_text("from ziet import Action\n@Action(description='d')\ndef f(): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("reloaded_shop")
    first = module.f
    importlib.reload(module)
    assert _registry.actions["reloaded_shop.f"] is module.f is not first


def test_a_module_that_did_not_import_leaves_nothing(define):
    define("@Action(description='d')\ndef f(): ...")
    define("@Action(description='d')\ndef f(): ...", __name__="shop.cart")
    _registry.remove_module("shop")
    assert [id for id in _registry.actions if id.startswith("shop")] == ["shop.cart.f"]
