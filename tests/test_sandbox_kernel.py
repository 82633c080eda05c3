"""What shut-in code could reach by way of the kernel or the program's own socket; and kernels that refuse something."""

from __future__ import annotations

import ctypes
import os
import sys

import pytest

from program import PROGRAM
from shut import SECRET, Shut


def test_a_connection_of_its_own_is_refused(shut: Shut) -> None:
    result = shut("""
import socket, sys
from ziet import _wire
frame = sys._getframe()
while "order" not in frame.f_locals:
    frame = frame.f_back
order = frame.f_locals["order"]
def refused(token):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(order.path)
    ends = [os.open("/dev/null", os.O_RDWR) for _ in range(3)]
    connection.settimeout(10)
    # It may be closed before anything is said.
    sent = tried(socket.send_fds, connection, [_wire.encode(_wire.Hello(_wire.PROTOCOL, token, 12))], ends)
    return sent == "BrokenPipeError" or tried(connection.recv, 1) in (b"", "ConnectionResetError")
def refused_in_a_fork():
    child = os.fork()
    if child == 0:
        os._exit(0 if refused(order.token) else 1)
    return os.waitpid(child, 0)[1] == 0
result = [refused("0" * len(order.token)), refused(order.token), refused_in_a_fork()]
""")

    assert result == [True, True, True]


def test_only_the_forked_process_can_use_its_token(shut: Shut) -> None:
    with (shut.folder / "shut_in.py").open("a") as file:
        file.write("""
import signal, socket, sys
from ziet import _wire

def steal():
    # Above is the function below, and then the zygote.
    order, forked = sys._getframe(2).f_locals["order"], os.getpid()
    if os.fork():
        signal.pause()
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(order.path)
    ends = [os.open("/dev/null", os.O_RDWR) for _ in range(3)]
    socket.send_fds(connection, [_wire.encode(_wire.Hello(_wire.PROTOCOL, order.token, 12))], ends)
    connection.recv(1)
    # Not its parent: that may be another by now.
    os.kill(forked, signal.SIGKILL)
    os._exit(0)

stealing = [steal]
os.register_at_fork(after_in_child=lambda: stealing and stealing.pop()())
""")
    process = shut.start("")
    _, err = process.communicate(timeout=60)

    assert process.returncode == 1
    assert "end before they can be used (SIGKILL)" in err


KEYS = {"x86_64": (248, 250), "aarch64": (217, 219)}
"""The system calls `add_key` and `keyctl`, which Python lacks."""
SESSION = -3


@pytest.mark.skipif(os.uname().machine not in KEYS, reason="no numbers of system calls for this machine")
def test_keys_of_the_supervisor_cannot_be_found(shut: Shut) -> None:
    add, control = KEYS[os.uname().machine]
    system = ctypes.CDLL(None, use_errno=True).syscall
    secret = SECRET.encode()
    key = system(add, b"user", b"ziet-test", secret, len(secret), SESSION)
    if key < 0:
        pytest.skip("no keyrings here")
    search = f"system({control}, 10, {SESSION}, b'user', b'ziet-test', 0)"
    try:
        assert eval(search, {"system": system}) == key
        found = shut(f"import ctypes\nsystem = ctypes.CDLL(None).syscall\nresult = {search}")
    finally:
        system(control, 9, key, SESSION)

    assert found == -1


def test_memory_that_others_share_is_out_of_reach_with_namespaces(shut: Shut) -> None:
    library = ctypes.CDLL(None)
    memory = library.shmget(0x21E7, 4096, 0o1666)
    assert memory >= 0
    try:
        found = shut("import ctypes\nresult = ctypes.CDLL(None).shmget(0x21e7, 0, 0)")
    finally:
        library.shmctl(memory, 0, None)

    # Landlock knows no rules for it.
    assert (found == -1) == (shut.walls != "landlock")


def test_memory_to_share_is_little(shut: Shut) -> None:
    if not shut.has_own_processes:
        pytest.skip("there is none")
    size = shut("about = os.statvfs('/dev/shm')\nresult = about.f_blocks * about.f_frsize")

    assert size == 64 * 1024 * 1024


def without_the_call(number: int) -> list[str]:
    """The command that runs a program for which this system call is not there, as in some containers."""
    code = f"""
import ctypes, os, struct, sys
program = b"".join(struct.pack("HBBI", *line) for line in [
    (0x20, 0, 0, 0), (0x15, 0, 1, {number}), (0x06, 0, 0, 0x50000 | 38), (0x06, 0, 0, 0x7fff0000),
])
program = ctypes.create_string_buffer(program)
filter = struct.pack("HxxxxxxP", 4, ctypes.addressof(program))
system = ctypes.CDLL(None, use_errno=True)
assert os.getuid() == 0 or system.prctl(38, 1, 0, 0, 0) == 0
assert system.prctl(22, 2, filter) == 0, ctypes.get_errno()
os.execv(sys.argv[1], sys.argv[1:])
"""
    return [sys.executable, "-c", code]


def test_a_system_that_cannot_clone_into_a_control_group_does_without(shut: Shut) -> None:
    shut.command = [*shut.command[:-1], *without_the_call(435), str(PROGRAM)]

    assert shut("result = 42") == 42


def test_descriptors_that_cannot_be_closed_are_told(shut: Shut) -> None:
    shut.command = [*shut.command[:-1], *without_the_call(436), str(PROGRAM)]
    process = shut.start("")
    _, err = process.communicate()

    assert process.returncode == 1
    assert "error: closing what was inherited: Function not implemented" in err
