"""`import ziet` is paid by every script, command and test: it must load nothing slow."""

import subprocess
import sys

import pytest

SLOW = (
    "typing",
    "re",
    "enum",
    "datetime",
    "msgspec",
    "inspect",
    "asyncio",
    "dataclasses",
    "json",
    "logging",
    "difflib",
    "uuid",
    "string",
    "threading",
    "subprocess",
    "socket",
    "ssl",
    "http",
    "urllib.request",
    "pydantic",
    "httpx",
    "requests",
    "ziet._client",
)


@pytest.mark.parametrize(
    "statements",
    [
        "import ziet",
        "from ziet import Action, memory",
        "from ziet.integrations import google, openai, stripe, sendgrid",
        "from ziet import Action\n@Action(description='d')\ndef f(x: int = 1): return x\nf()",
    ],
)
def test_nothing_slow_is_imported(statements):
    code = f"{statements}\nimport sys; print(*(set(sys.modules) & set({SLOW!r})))"
    done = subprocess.run([sys.executable, "-I", "-c", _with_path(code)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_package_exports_what_it_says():
    import ziet

    assert all(hasattr(ziet, name) for name in ziet.__all__)
    assert ziet.__version__ == "0.1.0"


def _with_path(code):
    # An isolated interpreter reads no PYTHONPATH and no start-up files, which may import anything.
    return f"import sys; sys.path.extend({[path for path in sys.path if path]!r})\n{code}"
