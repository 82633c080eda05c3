"""An executor: a process forked from the zygote that executes attempts, one at a time.

It knows nothing of time limits, retries or storage: the Rust program decides and kills. Whatever the code of an action
needs from the platform goes over one socket, in the order in which it happens.
"""

from __future__ import annotations

import faulthandler
import os
import resource
import signal
import socket
from typing import Any

from ziet import _context, _output, _process, _project, _registry, _stack, _wire
from ziet._attempt import Attempt
from ziet._channel import Channel
from ziet._errors import InputError, refusal_code

_NICENESS = 10
"""Below the Rust program, so that deadlines are kept while actions use every core."""


def main(path: str, token: str) -> None:
    """Serves one connection to the Rust program, then ends the process."""
    status = 1
    try:
        os.setsid()
        os.nice(_NICENESS)
        _process.adopt_orphans()
        serve(_connect(path, token))
        status = 0
    except (EOFError, OSError):
        status = 0  # The program is gone or done with this executor.
    finally:
        os._exit(status)


def _connect(path: str, token: str) -> Channel:
    """Says hello, together with the pipes that stand for standard output, standard error and the stack."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(path)
    out, err, stack = os.pipe(), os.pipe(), os.pipe()
    os.dup2(out[1], 1)
    os.dup2(err[1], 2)
    _show_stack_on(stack[1])
    hello = _wire.Hello(_wire.PROTOCOL, token, int(_process.STACK_SIGNAL))
    socket.send_fds(connection, [_wire.encode(hello)], [out[0], err[0], stack[0]])
    for pipe in (out, err, stack):
        os.close(pipe[0])
    os.close(out[1])
    os.close(err[1])
    return Channel(connection)


def _show_stack_on(descriptor: int) -> None:
    """The stack is written when the program asks for it, and when the process dies of a signal such as SIGSEGV.

    By C code first, which works whatever the interpreter does; then, if it does anything, by `_show_awaiting`.
    """

    def show_awaiting(_signal: int, _frame: object) -> None:
        os.write(descriptor, _awaiting().encode("utf-8", "backslashreplace"))

    signal.signal(_process.STACK_SIGNAL, show_awaiting)
    faulthandler.enable(file=descriptor, all_threads=False)
    # The program signals the process, and the kernel gives that to its main thread, which executes the action.
    faulthandler.register(_process.STACK_SIGNAL, file=descriptor, all_threads=False, chain=True)


def serve(channel: Channel) -> None:
    """Executes what the program sends until the program closes the connection."""
    process = os.getpid()
    while True:
        start = channel.next_start()
        attempt = Attempt(channel, start)
        _output.capture(channel)
        environment = dict(os.environ)
        os.environ.update(start.environment)
        os.environ[_context.RUN_VARIABLE] = start.run_id
        _context.run = attempt
        finished = execute(start, process)
        _context.run = None
        os.environ.clear()
        os.environ.update(environment)
        _output.flush()
        channel.send(finished)


def execute(start: _wire.Start, process: int) -> _wire.Finished:
    """Executes one attempt and says how it ended. Raises nothing but what comes from a broken connection."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    output, failure = _outcome(start, process)
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
    # Linux counts in kilobytes, macOS in bytes.
    peak = after.ru_maxrss * (1024 if _process.LINUX else 1)
    return _wire.Finished(output, failure, round(cpu * 1000), peak)


def _outcome(start: _wire.Start, process: int) -> tuple[bytes | None, _wire.Failure | None]:
    code = "exception"
    try:
        action = _registry.actions[start.action_id]
        arguments = _decoded(action, start.input)
        value = _call(action.local, arguments)
        if os.getpid() != process:
            os._exit(0)
        code = "invalid_output"
        return _project.result(action).encode(value), None
    except _InvalidInput as error:
        return None, _stack.describe(error.error, "invalid_input", with_locals=start.locals)
    except BaseException as error:  # noqa: BLE001 - also SystemExit and KeyboardInterrupt end an attempt, not the loop
        if os.getpid() != process:
            _end_forked(error)
        return None, _stack.describe(error, refusal_code(error) or code, with_locals=start.locals)


class _InvalidInput(Exception):
    """The input does not fit: told apart from the same error of a call that the action made."""

    def __init__(self, error: InputError) -> None:
        self.error = error


def _decoded(action: Any, data: bytes) -> dict[str, Any]:
    try:
        return _project.inputs(action).decode(data)
    except InputError as error:
        raise _InvalidInput(error) from None


def _end_forked(error: BaseException) -> None:
    """A process that the action forked came back here: it ends as any Python program would, and says nothing for the
    attempt."""
    if isinstance(error, SystemExit):
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        os._exit(status & 0xFF)
    os.write(2, (_stack.describe(error, "exception").traceback or "").encode() + b"\n")
    os._exit(1)


def _call(function: Any, arguments: dict[str, Any]) -> Any:
    value = function(**arguments)
    if not hasattr(value, "__await__"):
        return value
    value = run_async(value)
    if hasattr(value, "cr_frame"):
        # A forgotten `await`: the result will be refused, and needs no warning from within Ziet as well.
        value.close()
    return value


_awaited: Any = None
"""What an async action is, while it is executed."""


def run_async(awaitable: Any) -> Any:
    """Executes an async action. Rust knows this frame by its name: a stack with it goes on with `_awaiting`."""
    import asyncio

    global _awaited
    _awaited = awaitable

    async def awaited() -> Any:
        return await awaitable

    try:
        return asyncio.run(awaited())
    finally:
        _awaited = None


def _awaiting() -> str:
    """Where an async action is, in the form of a stack: faulthandler sees only the loop that waits for it."""
    if _awaited is None:
        return ""
    frames: list[str] = []
    one = _awaited
    while one is not None:
        frame = getattr(one, "cr_frame", None) or getattr(one, "gi_frame", None)
        if frame is None:
            break
        frames.append(f'  File "{frame.f_code.co_filename}", line {frame.f_lineno} in {frame.f_code.co_name}\n')
        one = getattr(one, "cr_await", None) or getattr(one, "gi_yieldfrom", None)
    return "".join(["Awaiting (most recent call first):\n", *reversed(frames), "  (end)\n"])
