"""An executor: a process forked from the zygote that executes attempts, one at a time.

It knows nothing of time limits, retries or storage: the Rust program decides and kills. Whatever the code of an action
needs from the platform goes over one socket, in the order in which it happens.
"""

from __future__ import annotations

import faulthandler
import os
import resource
import socket
from typing import Any

from ziet import _context, _output, _process, _project, _registry, _stack, _wire
from ziet._attempt import Attempt
from ziet._channel import Channel
from ziet._encode import encode_output

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
    # The stack is written when the program asks for it, and when the process dies of a signal such as SIGSEGV.
    faulthandler.enable(file=stack[1], all_threads=False)
    faulthandler.register(_process.STACK_SIGNAL, file=stack[1], all_threads=True, chain=False)
    hello = _wire.Hello(_wire.PROTOCOL, token, int(_process.STACK_SIGNAL))
    socket.send_fds(connection, [_wire.encode(hello)], [out[0], err[0], stack[0]])
    for pipe in (out, err, stack):
        os.close(pipe[0])
    os.close(out[1])
    os.close(err[1])
    return Channel(connection)


def serve(channel: Channel) -> None:
    """Executes what the program sends until the program closes the connection."""
    process = os.getpid()
    while True:
        start = channel.next_start()
        attempt = Attempt(channel, start)
        _output.capture(channel)
        environment = dict(os.environ)
        os.environ.update(start.environment)
        _context.run = attempt
        try:
            finished = execute(start)
        finally:
            # A child process that the action forked and that came back here must not speak for the attempt.
            if os.getpid() != process:
                os._exit(1)
        _context.run = None
        os.environ.clear()
        os.environ.update(environment)
        _output.flush()
        channel.send(finished)


def execute(start: _wire.Start) -> _wire.Finished:
    """Executes one attempt and says how it ended. Raises nothing but what comes from a broken connection."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    output, failure = _outcome(start)
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
    # Linux counts in kilobytes, macOS in bytes.
    peak = after.ru_maxrss * (1024 if _process.LINUX else 1)
    return _wire.Finished(output, failure, round(cpu * 1000), peak)


def _outcome(start: _wire.Start) -> tuple[bytes | None, _wire.Failure | None]:
    code = "invalid_input"
    try:
        action = _registry.actions[start.action_id]
        arguments = _project.inputs(action).decode(start.input)
        code = "exception"
        value = _call(action.local, arguments)
        code = "invalid_output"
        return encode_output(action.id, value), None
    except BaseException as error:  # noqa: BLE001 - also SystemExit and KeyboardInterrupt end an attempt, not the loop
        return None, _stack.describe(error, code)


def _call(function: Any, arguments: dict[str, Any]) -> Any:
    value = function(**arguments)
    if hasattr(value, "__await__"):
        import asyncio

        async def awaited() -> Any:
            return await value

        return asyncio.run(awaited())
    return value
