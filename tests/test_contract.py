"""What the server promises to programs: its OpenAPI document, tried out by schemathesis, and its metrics."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from program import Ziet
from server import Server

ACTIONS = """
from ziet import Action, memory

@Action(description="Adds", retries=1)
def add(a: int, b: int = 1) -> int:
    memory.add("sum", a + b)
    print("added")
    return a + b

@Action(description="Fails")
def fail(text: str) -> None:
    raise ValueError(text)
"""
CONFIG = """
# A run that is not due is waited for as long as the request says.
[parameters]
"query.wait" = 0
"""
HOOKS = """
import schemathesis

@schemathesis.serializer("application/zstd")
def as_it_is(context, value):
    return value if isinstance(value, bytes) else str(value).encode()
"""
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
)
SCHEMATHESIS = Path(sys.executable).parent / "schemathesis"


def serve(ziet: Ziet) -> Server:
    return ziet.serve(ziet.write({"actions.py": ACTIONS}))


@pytest.mark.parametrize("examples", [10, pytest.param(1000, marks=pytest.mark.soak)])
def test_no_request_is_answered_with_what_the_document_does_not_allow(ziet: Ziet, examples: int) -> None:
    with serve(ziet) as server:
        # So that there is something to list.
        server.finished("actions.add", a=1)
        server.finished("actions.fail", text="on purpose")
        (ziet.scratch / "schemathesis.toml").write_text(CONFIG, "utf-8")
        (ziet.scratch / "hooks.py").write_text(HOOKS, "utf-8")
        done = subprocess.run(
            [
                SCHEMATHESIS,
                "run",
                f"{server.url}/openapi.json",
                f"--header=Authorization: Api-Key {server.key}",
                f"--checks={','.join(CHECKS)}",
                f"--max-examples={examples}",
                "--request-timeout=10",
                "--continue-on-failure",
                "--no-color",
                # The same requests each time, but where there is time for many.
                "--generation-deterministic" if examples == 10 else "--generation-database=none",
            ],
            cwd=ziet.scratch,
            env=os.environ | {"SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(ziet.scratch)},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
        assert server.finished("actions.add", a=1)["output"] == 2


@pytest.fixture(scope="module")
def metrics(lasting: Ziet) -> str:
    with serve(lasting) as server:
        server.finished("actions.add", a=1)
        server.finished("actions.fail", text="on purpose")
        return server.request("GET", "/metrics").text


def test_metrics_can_be_read(metrics: str) -> None:
    families = {family.name: family for family in text_string_to_metric_families(metrics)}
    assert families, metrics
    assert all(name.startswith("ziet_") for name in families), families
    finished = {
        sample.labels["outcome"]: sample.value
        for sample in families["ziet_runs_finished"].samples
        if sample.name == "ziet_runs_finished_total"
    }
    assert finished == {"completed": 1, "failed": 1}
    for name in ("ziet_store_commit_duration_seconds", "ziet_store_commit_verbs"):
        samples = {sample.name: sample.value for sample in families[name].samples}
        # A submit and an end for each run, at least; a commit has at least one verb.
        assert samples[f"{name}_count"] >= 4, samples


def test_promtool_has_nothing_to_say_against_the_metrics(metrics: str) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: it comes with Debian's package prometheus")
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=metrics, capture_output=True, encoding="utf-8", check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
