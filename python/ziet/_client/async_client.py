"""`ziet.AsyncClient`: `ziet.Client` for programs with an event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from ziet._client import steps
from ziet._client.awaiting import Connections
from ziet._client.base import AT_ONCE, DEFAULT_TIMEOUT_SECONDS, Base
from ziet._client.documents import LogLine, Run, RunSummary

if TYPE_CHECKING:
    from typing import ParamSpec

    from ziet._action import ActionFunction
    from ziet._client.server import Server
    from ziet._client.submission import AnyAction
    from ziet.memory import Entry

    P = ParamSpec("P")

T = TypeVar("T")


class AsyncClient(Base):
    """A client of a Ziet server, for programs with an event loop.

        async with ziet.AsyncClient("https://ziet.example.com", key) as client:
            total = await client.run(add, 1, 2)

    What can be asked, and what is promised, is that of `Client`; so are the arguments. It belongs to the event loop
    that it is first used in. A call that is cancelled gives up its connection, and a run that was submitted goes on. It
    waits for at most 256 runs at a time: who waits for more awaits their turn.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        project: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> None:
        super().__init__(url, key, project, timeout)
        self._connections = Connections(self._server)

    @overload
    async def run(
        self, action: ActionFunction[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    @overload
    async def run(self, action: ActionFunction[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    async def run(self, action: str, /, **input: Any) -> Any: ...
    async def run(self, action: Any, /, *args: Any, **kwargs: Any) -> Any:
        """As `Client.run`."""
        return await self._connections.drive(steps.run(self._server, self._submission(action, args, kwargs)))

    @overload
    async def submit(
        self, action: ActionFunction[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Run[T]: ...
    @overload
    async def submit(self, action: ActionFunction[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Run[T]: ...
    @overload
    async def submit(self, action: str, /, **input: Any) -> Run[Any]: ...
    async def submit(self, action: Any, /, *args: Any, **kwargs: Any) -> Run[Any]:
        """As `Client.submit`."""
        return await self._connections.drive(steps.submit(self._server, self._submission(action, args, kwargs)))

    async def submit_many(self, action: AnyAction | str, inputs: Iterable[Mapping[str, Any]], /) -> list[str]:
        """As `Client.submit_many`; the inputs are encoded in the event loop, a thousand at a time."""
        ids: list[str] = []
        pending: deque[asyncio.Task[list[str]]] = deque()
        try:
            for chunk in self._chunks(action, inputs):
                if len(pending) == AT_ONCE:
                    ids += await pending.popleft()
                steps_of_chunk = steps.submit_chunk(self._server, chunk)
                pending.append(asyncio.create_task(self._connections.drive(steps_of_chunk)))
                # So that they are sent while the next inputs are encoded.
                await asyncio.sleep(0)
            while pending:
                ids += await pending.popleft()
        finally:
            # After an error those that are on their way come to their end, as those of threads do.
            await asyncio.gather(*pending, return_exceptions=True)
        return ids

    @overload
    async def get(self, run: Run[T]) -> Run[T]: ...
    @overload
    async def get(self, run: RunSummary | str, action: ActionFunction[..., Coroutine[Any, Any, T]]) -> Run[T]: ...
    @overload
    async def get(self, run: RunSummary | str, action: ActionFunction[..., T]) -> Run[T]: ...
    @overload
    async def get(self, run: RunSummary | str) -> Run[Any]: ...
    async def get(self, run: RunSummary | str, action: AnyAction | None = None) -> Run[Any]:
        """As `Client.get`."""
        return await self._connections.drive(steps.get(self._server, run, action))

    @overload
    async def wait(self, run: Run[T], *, timeout: float | None = None) -> T: ...
    @overload
    async def wait(
        self,
        run: RunSummary | str,
        action: ActionFunction[..., Coroutine[Any, Any, T]],
        *,
        timeout: float | None = None,
    ) -> T: ...
    @overload
    async def wait(
        self, run: RunSummary | str, action: ActionFunction[..., T], *, timeout: float | None = None
    ) -> T: ...
    @overload
    async def wait(self, run: RunSummary | str, *, timeout: float | None = None) -> Any: ...
    async def wait(
        self, run: RunSummary | str, action: AnyAction | None = None, *, timeout: float | None = None
    ) -> Any:
        """As `Client.wait`."""
        timeout = self._options.timeout if timeout is None else timeout
        return await self._connections.drive(steps.wait(self._server, run, action, timeout))

    @overload
    async def start(self, run: Run[T]) -> Run[T]: ...
    @overload
    async def start(self, run: RunSummary | str) -> Run[Any]: ...
    async def start(self, run: RunSummary | str) -> Run[Any]:
        """As `Client.start`."""
        return await self._connections.drive(steps.start(self._server, run))

    @overload
    async def cancel(self, run: Run[T], reason: str | None = None) -> Run[T]: ...
    @overload
    async def cancel(self, run: RunSummary | str, reason: str | None = None) -> Run[Any]: ...
    async def cancel(self, run: RunSummary | str, reason: str | None = None) -> Run[Any]:
        """As `Client.cancel`."""
        return await self._connections.drive(steps.cancel(self._server, run, reason))

    @overload
    async def retry(self, run: Run[T]) -> Run[T]: ...
    @overload
    async def retry(self, run: RunSummary | str) -> Run[Any]: ...
    async def retry(self, run: RunSummary | str) -> Run[Any]:
        """As `Client.retry`."""
        return await self._connections.drive(steps.retry(self._server, run))

    def logs(
        self, run: RunSummary | str, *, follow: bool = True, level: str | None = None, search: str | None = None
    ) -> AsyncIterator[LogLine]:
        """As `Client.logs`."""
        return self._connections.iterate(steps.logs(self._server, run, level, search, follow))

    def runs(
        self,
        *,
        action: AnyAction | str | None = None,
        status: str | Iterable[str] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        text: str | None = None,
        parent: RunSummary | str | None = None,
        root: RunSummary | str | None = None,
    ) -> AsyncIterator[RunSummary]:
        """As `Client.runs`."""
        filters = {
            "action": action,
            "status": status,
            "created_after": created_after,
            "created_before": created_before,
            "text": text,
            "parent": parent,
            "root": root,
        }
        return self._connections.iterate(steps.runs(self._server, filters))

    def memory(self, run: RunSummary | str) -> AsyncRunMemory:
        """The memory of a run, which it shares with all that it calls."""
        return AsyncRunMemory(self._server, self._connections, run)

    async def close(self) -> None:
        """Closes the connections that are kept. The client can still be used, and opens others."""
        self._connections.close()
        # The loop does it in its next turn, which may be its last.
        await asyncio.sleep(0)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()


class AsyncRunMemory:
    """The memory of one run, from outside: with the functions of `ziet.memory`."""

    def __init__(self, server: Server, connections: Connections, run: RunSummary | str) -> None:
        self._server = server
        self._connections = connections
        self._run = run

    async def get(self, key: str) -> Any:
        """As `RunMemory.get`."""
        return await self._connections.drive(steps.memory_get(self._server, self._run, key))

    async def search(
        self, query: str | None = None, filter: Mapping[str, Any] | None = None, limit: int = 10
    ) -> list[Entry]:
        """As `RunMemory.search`."""
        return await self._connections.drive(steps.memory_search(self._server, self._run, query, filter, limit))

    async def add(self, key: str, value: object, metadata: Mapping[str, Any] | None = None) -> str:
        """As `RunMemory.add`."""
        return await self._connections.drive(steps.memory_add(self._server, self._run, key, value, metadata))

    async def remove(self, *, entry_id: str | None = None, key: str | None = None) -> int:
        """As `RunMemory.remove`."""
        return await self._connections.drive(steps.memory_remove(self._server, self._run, entry_id, key))
