"""An executor: a process that executes attempts, one at a time, forked from the zygote or started afresh.

It knows nothing of time limits, retries or storage: the Rust program decides and kills. Whatever the code of an action
needs from the platform goes over one socket, in the order in which it happens. What an attempt leaves behind is told
when it ends; the program then puts another executor in the place of this one.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import time
from contextvars import copy_context
from typing import Any, NamedTuple

from ziet import _context, _output, _process, _project, _registry, _stack, _wire
from ziet._accounting import Accounting
from ziet._attempt import Attempt
from ziet._channel import Channel
from ziet._errors import ActionError, InputError, refusal_code
from ziet._leftovers import Leftovers
from ziet._surroundings import Surroundings

_NICENESS = 10
"""Below the Rust program, so that deadlines are kept while actions use every core."""

_SETTLING_SECONDS = 0.05
"""How long an attempt that has returned waits for what is about to begin or to end. Its result is not told before, and
its time runs on meanwhile."""


class Order(NamedTuple):
    """What an executor is made with."""

    path: str
    """The program's socket."""
    token: str
    """What it says in its hello, so that the program knows it for the one that was asked for."""
    scratch: str | None
    """The folder that it makes for its actions, None where they stay in that of the shell."""


def main(order: Order) -> None:
    """Serves one connection to the Rust program, then ends the process."""
    status = 1
    try:
        # Not a session of its own: Linux may share processors among these, and heeds niceness only within one.
        os.setpgid(0, 0)
        os.nice(_NICENESS)
        _process.adopt_orphans()
        try:
            channel = _connect(order)
        except OSError as error:
            # The system is out of descriptors, say. The zygote's standard error is where whoever waits for it looks.
            os.write(2, f"an executor does not reach Ziet: {error}\n".encode())
            return
        Executor(channel, order.scratch).serve()
    except (EOFError, OSError):
        status = 0  # The program is gone or done with this executor.
    finally:
        os._exit(status)


def _connect(order: Order) -> Channel:
    """Says hello, together with the pipes that stand for standard output, standard error and the stack."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(order.path)
    out, err, stack = os.pipe(), os.pipe(), os.pipe()
    os.dup2(out[1], 1)
    os.dup2(err[1], 2)
    _show_stack_on(stack[1])
    hello = _wire.Hello(_wire.PROTOCOL, order.token, int(_process.STACK_SIGNAL))
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

    def show() -> None:
        # Without that it would think its handler in place, although the action has put another one there.
        faulthandler.unregister(_process.STACK_SIGNAL)
        signal.signal(_process.STACK_SIGNAL, show_awaiting)
        # The program signals the process, and the kernel gives that to its main thread, which executes the action.
        faulthandler.register(_process.STACK_SIGNAL, file=descriptor, all_threads=False, chain=True)

    def show_crash() -> None:
        faulthandler.enable(file=descriptor, all_threads=False)

    show()
    show_crash()
    global _show_again, _show_crash_again
    _show_again, _show_crash_again = show, show_crash


_show_again: Any = None
"""Puts the handler of the stack's signal back into its place."""
_show_crash_again: Any = None
"""Has a crash tell its stack to the program, also after the action had it told elsewhere."""


class Executor:
    """The loop of an executor, and what it knows of its own process from before the first attempt."""

    def __init__(self, channel: Channel, scratch: str | None) -> None:
        self._channel = channel
        self._accounting = Accounting()
        self._leftovers = Leftovers()
        self._surroundings = Surroundings(scratch, _show_again, _show_crash_again)
        _output.capture(channel)

    def serve(self) -> None:
        """Executes what the program sends until the program closes the connection."""
        while True:
            # In a call of its own, so that nothing of an attempt is kept while the next one is waited for.
            self._serve_one()

    def _serve_one(self) -> None:
        start = self._channel.next_start()
        attempt = Attempt(self._channel, start)
        self._accounting.begin(start.memory_limit)
        self._surroundings.begin(start.run_id, start.environment)
        _context.run = attempt
        output, failure = self._outcome(start)
        self._surroundings.silence()
        until = time.monotonic() + _SETTLING_SECONDS
        attempt.finish(until)
        _context.run = None
        _output.finish()
        brief = self._accounting.is_brief()
        left, spent = self._leftovers.find(until)
        spent = not self._surroundings.restore(brief) or spent
        spent = not self._accounting.restore(brief) or spent
        cpu_ms, peak = self._accounting.end(brief)
        self._channel.send(_wire.Finished(output, failure, cpu_ms, peak, left, spent))

    def _outcome(self, start: _wire.Start) -> tuple[bytes | None, _wire.Failure | None]:
        code = "exception"
        try:
            action = _registry.actions[start.action_id]
            try:
                arguments = _project.inputs(action).decode(start.input)
            except InputError as error:
                # Here, where it cannot be the same error of a call that the action made.
                return None, _stack.describe(error, "invalid_input", with_locals=start.locals)
            # What an action sets in a context variable is not there for the next attempt.
            value = copy_context().run(_call, action.local, arguments)
            if not self._channel.here:
                os._exit(0)
            code = "invalid_output"
            return _project.result(action).encode(value), None
        except BaseException as error:  # noqa: BLE001 - also SystemExit and KeyboardInterrupt end an attempt, not the loop
            if not self._channel.here:
                _end_forked(error)
            self._surroundings.silence()
            # What may fill the memory is held by the traceback, which is needed to tell of it.
            self._accounting.lift_limit()
            if isinstance(error, MemoryError) and not isinstance(error, ActionError):  # Not that of a child run.
                code = "out_of_memory"
            return None, _stack.describe(error, refusal_code(error) or code, with_locals=start.locals)


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
