"""What the code of a running attempt reaches through `_context.run`: memory, child runs, integrations."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

from ziet import _project, _wire
from ziet._channel import Channel
from ziet._errors import ActionError, MemoryValueError, ZietError, rebuild

if TYPE_CHECKING:
    from collections.abc import Callable

    from ziet._action import ActionFunction

_AnswerT = TypeVar("_AnswerT", bound=_wire.Message)


class Attempt:
    """One attempt's side of the connection. Every method returns after the commit."""

    def __init__(self, channel: Channel, start: _wire.Start) -> None:
        self._channel = channel
        self.run_id = start.run_id
        self.attempt = start.attempt
        self.mocked = start.mocked
        self.secrets = dict(start.secrets)
        self._ending: list[threading.Thread] = []

    def finish(self, until: float) -> None:
        """Waits for threads of Ziet's own that have nothing to wait for any more, up to that monotonic time."""
        for thread in self._ending:
            thread.join(max(until - time.monotonic(), 0))

    def call(self, action: ActionFunction[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        inputs = _project.inputs(action)
        arguments = inputs.encode_call(args, kwargs)
        if action.is_async:
            coroutine = self._call_async(action, arguments)
            # What Python says of one that was never awaited.
            coroutine.__qualname__ = action.__qualname__
            return coroutine
        return self._call(action, arguments)

    def _call(
        self, action: ActionFunction[..., Any], arguments: bytes, begun: Callable[[int], None] | None = None
    ) -> Any:
        """`begun` is told the number of the request before it is waited for."""

        def make(request: int) -> _wire.Message:
            if begun is not None:
                begun(request)
            return _wire.Call(request, action.id, arguments)

        ended = self._ask(make, _wire.CallEnded)
        if ended.failure is not None:
            raise rebuild(ended.failure, action.id, ended.run_id)
        return _project.result(action).decode(ended.output or b"null")

    async def _call_async(self, action: ActionFunction[..., Any], arguments: bytes) -> Any:
        """Waits in a thread of its own, so that any number of calls can be awaited at once."""
        import asyncio

        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()
        requests: list[int] = []
        given_up: list[bool] = []

        def begun(request: int) -> None:
            requests.append(request)
            if given_up:  # Before the request was made, which is not made then.
                raise ActionError("the call was given up")

        def settle(set_it: Any, value: Any) -> None:
            if not done.done():  # It may have been cancelled meanwhile.
                set_it(value)

        def wait() -> None:
            try:
                result, set_it = self._call(action, arguments, begun), done.set_result
            except BaseException as error:  # noqa: BLE001 - raised where it is awaited
                result, set_it = error, done.set_exception
            with contextlib.suppress(RuntimeError):  # The loop may have ended without waiting.
                loop.call_soon_threadsafe(settle, set_it, result)

        thread = threading.Thread(target=wait, name=f"ziet-call-{action.id}", daemon=True)
        thread.start()
        try:
            return await done
        except asyncio.CancelledError:
            # Nobody waits any more: the child run is not wanted either.
            given_up.append(True)
            for request in requests:
                self._channel.abandon(request)
            raise
        finally:
            self._ends(thread)

    def _ends(self, thread: threading.Thread) -> None:
        self._ending = [each for each in self._ending if each.is_alive()] + [thread]

    def memory_add(self, key: str, value: bytes, metadata: bytes | None) -> str:
        return self._ask(lambda request: _wire.MemoryAdd(request, key, value, metadata), _wire.MemoryAdded).entry_id

    def memory_get(self, key: str) -> bytes | None:
        return self._ask(lambda request: _wire.MemoryGet(request, key), _wire.MemoryValue).value

    def memory_search(self, query: str | None, filter: bytes | None, limit: int) -> list[_wire.Entry]:
        search = _wire.Search(query, filter, limit)
        answers = self._ask_all(lambda request: _wire.MemorySearch(request, search), _wire.MemoryEntries)
        return [entry for answer in answers for entry in answer.entries]

    def memory_remove(self, entry_id: str | None, key: str | None) -> int:
        return self._ask(lambda request: _wire.MemoryRemove(request, entry_id, key), _wire.MemoryRemoved).count

    def integration_called(self, call: str) -> None:
        self._ask(lambda request: _wire.IntegrationCalled(request, call), _wire.Done)

    def _ask(self, make: Callable[[int], _wire.Message], answer: type[_AnswerT]) -> _AnswerT:
        return self._ask_all(make, answer)[0]

    def _ask_all(self, make: Callable[[int], _wire.Message], answer: type[_AnswerT]) -> list[_AnswerT]:
        answers = self._channel.request(make)
        last = answers[-1]
        if isinstance(last, _wire.Refused):
            raise _refusal(last)
        return [a for a in answers if isinstance(a, answer)]


def _refusal(refused: _wire.Refused) -> ZietError:
    of_memory = refused.code in ("invalid_memory", "memory_full")
    error = MemoryValueError(refused.message) if of_memory else ActionError(refused.message)
    error.code = refused.code
    # What is refused once is refused again, a name or a depth; but the store may come back, and other runs end.
    error.retryable = refused.code in ("store_unavailable", "too_many_runs")
    return error
