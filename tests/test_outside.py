"""Actions that are called outside of any run: by a script with the same Python."""

from __future__ import annotations

import os
import subprocess
import sys

from program import MARK, PROJECTS, REPOSITORY, Ziet

SCRIPT = """
import sys
from pathlib import Path
import asyncio
import os

sys.path[:0] = [{page!r}, {tree!r}]

from payments import process_payment
from sharing import research_topic, send_notification
from tree import gathers, process, catches
from ziet import IntegrationError, memory

assert process_payment(5) is None
assert memory.get("payment_result") == {{"status": "success", "amount": 5, "currency": "usd"}}

send_notification("ada", "Hello")
assert memory.get("notification_sent") == "sent 'Hello' to ada@example.com"
assert [entry.key for entry in memory.search("ada@example.com")] == ["notification_sent", "user_ada"]
assert memory.search("ada")[0].run_id is None
assert memory.remove(key="user_ada") == 1
assert memory.get("user_ada") is None

assert process() == os.getpid(), "a call is only a call"
assert asyncio.run(gathers(3, 0.01)) == ["nap 0", "nap 1", "nap 2"]

try:
    research_topic("Rust")
except IntegrationError as error:
    print(error)
print("done")
"""


def test_calls_are_only_calls(ziet: Ziet) -> None:
    script = ziet.scratch / "script.py"
    script.write_text(SCRIPT.format(page=str(PROJECTS / "page"), tree=str(PROJECTS / "tree")))

    done = subprocess.run(
        [sys.executable, script],
        env=ziet.environment | {"PYTHONPATH": str(REPOSITORY / "python")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "google.search cannot be called here: real integrations are not there yet. "
        "Run the action with `ziet run --local`, where integrations are mocked",
        "done",
    ]


def test_the_mark_reaches_what_an_action_starts(ziet: Ziet) -> None:
    """What finds processes that are left over rests on this."""
    project = ziet.write(
        {
            "marked.py": "import os\nfrom ziet import Action\n@Action(description='d')\n"
            f"def marked():\n    return os.environ[{MARK!r}]\n"
        }
    )

    assert project.run("marked", "--json").document["output"] == ziet.mark
    assert MARK not in os.environ
