"""An executor that sends what no executor sends ends as crashed, and nothing else is harmed."""

from __future__ import annotations

import msgspec
import pytest

from program import Ziet

ACTIONS = """
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor

from ziet import Action, ActionError


def connection() -> socket.socket:
    "The connection to Ziet: the only socket that this process has."
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                return socket.socket(fileno=int(name))
        except FileNotFoundError:
            pass
    raise AssertionError("no socket")


@Action(description="Says something else in the midst of Ziet's messages", timeout=30)
def misspeaks(said: str, hang_up: bool) -> None:
    ziet = connection()
    ziet.sendall(bytes.fromhex(said))
    if hang_up:
        ziet.shutdown(socket.SHUT_RDWR)
    time.sleep(60)


@Action(description="Is executed meanwhile", timeout=30)
def meanwhile(seconds: float) -> str:
    time.sleep(seconds)
    return "fine"


@Action(description="Has one that misspeaks between two that do not", timeout=60)
def company(said: str, hang_up: bool) -> list[str]:
    with ThreadPoolExecutor() as threads:
        before = threads.submit(meanwhile, 1)
        try:
            misspeaks(said, hang_up)
            ended = "as if nothing had been"
        except ActionError as error:
            ended = f"{error.code}: {error}"
        return [before.result(), ended, meanwhile(0)]
"""

NOT_UNDERSTOOD = "it sent a message that is not understood"
HUNG_UP = "it closed its connection to Ziet"


@pytest.mark.parametrize(
    ("said", "hang_up", "told"),
    [
        pytest.param("ffffffff", False, "it sent a frame of 4294967295 bytes, limit 8388608", id="oversized"),
        pytest.param("00800001", False, "it sent a frame of 8388609 bytes, limit 8388608", id="one_byte_too_many"),
        pytest.param("00000000", False, NOT_UNDERSTOOD, id="empty"),
        pytest.param("00000004c1c1c1c1", False, NOT_UNDERSTOOD, id="garbage"),
        pytest.param(b"GET / HTTP".hex(), True, "it sent a frame of 1195725856 bytes, limit 8388608", id="http"),
        pytest.param("0000000d81a474797065a66c6f61646564", False, NOT_UNDERSTOOD, id="message_of_a_zygote"),
        pytest.param("000001f4" + "91" * 500, False, NOT_UNDERSTOOD, id="nested_deeply"),
        pytest.param("00000006ddffffffffc0", False, NOT_UNDERSTOOD, id="list_of_4_billion"),
        pytest.param("0000", True, HUNG_UP, id="header_cut"),
        pytest.param("0000000d81a474", True, HUNG_UP, id="frame_cut"),
    ],
)
def test_what_no_executor_sends_ends_that_executor_and_nothing_else(
    ziet: Ziet, said: str, hang_up: bool, told: str
) -> None:
    project = ziet.write({"actions.py": ACTIONS})
    done = project.run("company", "-p", f"said={said}", "-p", f"hang_up={str(hang_up).lower()}", "--json")
    assert done.status == 0, done
    assert done.document["output"] == ["fine", f"crashed: ProcessDied: {told}", "fine"]


def test_more_processor_time_than_there_can_be_harms_nobody(ziet: Ziet) -> None:
    finished = {"type": "finished", "output": b"null", "failure": None, "cpu_ms": 2**64 - 1}
    frame = msgspec.msgpack.encode({**finished, "peak_memory_bytes": 2**64 - 1, "left": [], "spent": True})
    said = (len(frame).to_bytes(4, "big") + frame).hex()
    project = ziet.write({"actions.py": ACTIONS})

    done = project.run("company", "-p", f"said={said}", "-p", "hang_up=false", "--json")

    assert done.status == 0, done
    assert done.document["output"] == ["fine", "as if nothing had been", "fine"]
