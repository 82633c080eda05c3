"""One attempt does to its process what it likes; the next one finds it as if nothing had been."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from program import Ziet

RETURNS = [
    *["changes_folder", "removes_folder", "changes_variables", "empties_variables", "changes_umask"],
    *["handles_signals", "ignores_signals", "blocks_signals", "sets_an_alarm", "forgets_faulthandler"],
    *["replaces_stdout", "closes_stdout", "redirects_stdout", "closes_standard_descriptors", "silences_logging"],
    *["prints_no_text", "prints_half_a_line", "leaves_descriptors_open", "fills_a_pipe_nobody_reads"],
    *["leaves_a_thread", "leaves_a_child", "leaves_a_zombie", "leaves_files", "changes_defaults"],
    *["lowers_limits", "closes_standard_input", "sets_timers_of_cpu_time"],
]
FAILS = {
    "ends_at_once": "ProcessDied",
    "reads_nowhere": "ProcessDied",
    "closes_all_descriptors": "ProcessDied",
    "interrupts_itself": "KeyboardInterrupt",
    "leaves_python": "SystemExit",
    "fails": "ValueError",
    "recurses": "RecursionError",
    "runs_out_of_memory": "MemoryError",
    "exhausts_descriptors": "OSError",
}
MISUSES = {**dict.fromkeys(RETURNS, "returns"), **FAILS}

# It would be slow to replace the process each time that an action fails, or does what is easily undone.
SERVES_ON = ["fails", "leaves_python", "recurses", "changes_folder", "changes_variables", "prints_half_a_line"]

# After these nothing of the process can be relied on.
REPLACED = ["leaves_a_thread", "leaves_a_child", "ends_at_once", "closes_all_descriptors", "redirects_stdout"]

PROBED = [
    "[INFO] probe printed",
    "[INFO] probe logged",
    "[WARN] probe complained",
    "[INFO] probe's child printed",
    "[INFO] probe wrote",
]


def state(found: dict[str, Any]) -> dict[str, Any]:
    """What must be the same in each attempt; the process and its folder need not."""
    same = {name: value for name, value in found.items() if name != "process"}
    return json.loads(re.sub(r"/scratch/\d+", "/scratch/N", json.dumps(same)))


@pytest.mark.parametrize("kind", MISUSES)
@pytest.mark.parametrize("sandbox", ["off", "on"])
def test_the_next_attempt_finds_nothing_of_it(ziet: Ziet, kind: str, sandbox: str) -> None:
    done = ziet.project("misuse").run("around", "-p", f"kind={kind}", "--json", ZIET_SANDBOX=sandbox)

    assert done.status == 0, done.err
    output = done.document["output"]
    before, after = output["before"], output["after"]
    assert output["ended"] == MISUSES[kind]
    assert state(after) == state(before)
    assert [line for line in done.lines if line in PROBED] == PROBED * 2
    if sandbox == "off" and kind in SERVES_ON:
        assert after["process"] == before["process"]
    if sandbox == "off" and kind in REPLACED:
        assert after["process"] != before["process"]
