"""`ziet.Client`: what a program asks of a server, each call until it is done."""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from ziet._client import steps
from ziet._client.base import AT_ONCE, DEFAULT_TIMEOUT_SECONDS, Base
from ziet._client.blocking import Connections
from ziet._client.documents import LogLine, Run, RunSummary

if TYPE_CHECKING:
    from typing import ParamSpec

    from ziet._action import ActionFunction
    from ziet._client.server import Server
    from ziet._client.submission import AnyAction
    from ziet.memory import Entry

    P = ParamSpec("P")

T = TypeVar("T")


class Client(Base):
    """A client of a Ziet server.

        with ziet.Client("https://ziet.example.com", key) as client:
            total = client.run(add, 1, 2)

    It may be used from any number of threads, and in a forked child, and keeps its connections for the next requests.

    Every submit has an idempotency key, so a request whose answer was lost is sent again, and a run is never submitted
    twice. A server that is being restarted, or is busy, is asked again for as long as `timeout` says; a run that is
    waited for may take any time.

    Args:
        url: Such as `https://ziet.example.com`, or a name under which `ziet login` has kept one. Without it
            `ZIET_SERVER`, else the default of `ziet login`; inside a run it must be given.
        key: The API key. Without it `ZIET_API_KEY`, else the one that `ziet login` has kept for that server.
        project: The project, if the key may act for several.
        timeout: For how many seconds a request is tried until it has an answer; a server that has never answered this
            client is given up after 5.

    Raises:
        ClientError: No server or no key is known.
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
    def run(self, action: ActionFunction[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    def run(self, action: ActionFunction[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    def run(self, action: str, /, **input: Any) -> Any: ...
    def run(self, action: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Submits a run, waits until it has finished, and gives what the action returned.

        The arguments are written as in a call of the action. It is the decorated function itself, then its result is
        what the return annotation says; or its id, then arguments have names, and the result is a JSON value.

        Raises:
            RunFailed: The run failed; it holds the error and the traceback of its code.
            RunCancelled: Somebody cancelled it.
            WaitTimeout: It has not finished in the time that `options` give it, and goes on.
            InvalidInput: The arguments do not fit the action.
            TypeError: They do not fit the function's signature, or one of them is not JSON.
            ClientError: The server refused it, or could not be reached.
        """
        return self._connections.drive(steps.run(self._server, self._submission(action, args, kwargs)))

    @overload
    def submit(
        self, action: ActionFunction[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Run[T]: ...
    @overload
    def submit(self, action: ActionFunction[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Run[T]: ...
    @overload
    def submit(self, action: str, /, **input: Any) -> Run[Any]: ...
    def submit(self, action: Any, /, *args: Any, **kwargs: Any) -> Run[Any]:
        """Submits a run and gives it as it was accepted: from then on it will be executed, whatever becomes of this
        process or the server. The arguments and errors are those of `run`."""
        return self._connections.drive(steps.submit(self._server, self._submission(action, args, kwargs)))

    def submit_many(self, action: AnyAction | str, inputs: Iterable[Mapping[str, Any]], /) -> list[str]:
        """Submits a run for each input, and gives their ids in the order of the inputs.

        Each input is a mapping of the parameters' names. They are taken as they are sent, up to 1,000 in a request;
        all runs of a request are accepted, or none. After an error some of those before may have been: give an
        `idempotency_key` with `options`, and the same call can be made again, which finds the runs that are there.
        """
        ids: list[str] = []
        pending: deque[Future[list[str]]] = deque()
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="ziet-submit") as threads:
            for chunk in self._chunks(action, inputs):
                if len(pending) == AT_ONCE:
                    ids += pending.popleft().result()
                pending.append(threads.submit(self._connections.drive, steps.submit_chunk(self._server, chunk)))
            for request in pending:
                ids += request.result()
        return ids

    @overload
    def get(self, run: Run[T]) -> Run[T]: ...
    @overload
    def get(self, run: RunSummary | str, action: ActionFunction[..., Coroutine[Any, Any, T]]) -> Run[T]: ...
    @overload
    def get(self, run: RunSummary | str, action: ActionFunction[..., T]) -> Run[T]: ...
    @overload
    def get(self, run: RunSummary | str) -> Run[Any]: ...
    def get(self, run: RunSummary | str, action: AnyAction | None = None) -> Run[Any]:
        """The run as it stands now. Of an id, `action` says with the function what its output is."""
        return self._connections.drive(steps.get(self._server, run, action))

    @overload
    def wait(self, run: Run[T], *, timeout: float | None = None) -> T: ...
    @overload
    def wait(
        self,
        run: RunSummary | str,
        action: ActionFunction[..., Coroutine[Any, Any, T]],
        *,
        timeout: float | None = None,
    ) -> T: ...
    @overload
    def wait(self, run: RunSummary | str, action: ActionFunction[..., T], *, timeout: float | None = None) -> T: ...
    @overload
    def wait(self, run: RunSummary | str, *, timeout: float | None = None) -> Any: ...
    def wait(self, run: RunSummary | str, action: AnyAction | None = None, *, timeout: float | None = None) -> Any:
        """Waits until a run has finished, also while the server is restarted, and gives what the action returned.

        Args:
            run: The run, or its id.
            action: The function, which says what the output is, where `run` is an id.
            timeout: For how many seconds to wait; without it what `options` say, else as long as it takes.

        Raises:
            RunFailed, RunCancelled, WaitTimeout, ClientError: As `run` does.
        """
        timeout = self._options.timeout if timeout is None else timeout
        return self._connections.drive(steps.wait(self._server, run, action, timeout))

    @overload
    def start(self, run: Run[T]) -> Run[T]: ...
    @overload
    def start(self, run: RunSummary | str) -> Run[Any]: ...
    def start(self, run: RunSummary | str) -> Run[Any]:
        """Starts a run that was submitted with `start=False`. One that was started already stays as it is."""
        return self._connections.drive(steps.start(self._server, run))

    @overload
    def cancel(self, run: Run[T], reason: str | None = None) -> Run[T]: ...
    @overload
    def cancel(self, run: RunSummary | str, reason: str | None = None) -> Run[Any]: ...
    def cancel(self, run: RunSummary | str, reason: str | None = None) -> Run[Any]:
        """Cancels a run that has not finished, with all that it has called.

        Raises:
            ClientError: It has completed or failed; the code is `run_finished`.
        """
        return self._connections.drive(steps.cancel(self._server, run, reason))

    @overload
    def retry(self, run: Run[T]) -> Run[T]: ...
    @overload
    def retry(self, run: RunSummary | str) -> Run[Any]: ...
    def retry(self, run: RunSummary | str) -> Run[Any]:
        """Runs a finished run again: a new run of the same action, with the same input, memory and metadata.

        Raises:
            ConnectionFailed: There is no answer. Unlike a submit it is not sent again, which could make two runs.
        """
        return self._connections.drive(steps.retry(self._server, run))

    def logs(
        self, run: RunSummary | str, *, follow: bool = True, level: str | None = None, search: str | None = None
    ) -> Iterator[LogLine]:
        """The lines that a run prints and logs, as they come, until it has finished; each once, also when the
        connection breaks.

        Args:
            run: The run, or its id.
            follow: False for those that there are now.
            level: Only lines of at least this level: `info`, `warn` or `error`.
            search: Only lines that contain it, whatever their case.
        """
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
    ) -> Iterator[RunSummary]:
        """The runs of the project, the newest first, without inputs and outputs. They are read page by page.

        Args:
            action: Only those of this action.
            status: Only those that stand so now; one status, or several.
            created_after: Only those that were accepted then or later.
            created_before: Only those that were accepted before.
            text: Only those with this in their id, metadata or error.
            parent: Only those that this run called.
            root: Only those below this root, at any depth.
        """
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

    def memory(self, run: RunSummary | str) -> RunMemory:
        """The memory of a run, which it shares with all that it calls."""
        return RunMemory(self._server, self._connections, run)

    def close(self) -> None:
        """Closes the connections that are kept. The client can still be used, and opens others."""
        self._connections.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class RunMemory:
    """The memory of one run, from outside: with the functions of `ziet.memory`."""

    def __init__(self, server: Server, connections: Connections, run: RunSummary | str) -> None:
        self._server = server
        self._connections = connections
        self._run = run

    def get(self, key: str) -> Any:
        """The newest value of a key as a JSON value, None if there is none."""
        return self._connections.drive(steps.memory_get(self._server, self._run, key))

    def search(self, query: str | None = None, filter: Mapping[str, Any] | None = None, limit: int = 10) -> list[Entry]:
        """The newest entries that match, the newest first; arguments and errors are those of `ziet.memory.search`."""
        return self._connections.drive(steps.memory_search(self._server, self._run, query, filter, limit))

    def add(self, key: str, value: object, metadata: Mapping[str, Any] | None = None) -> str:
        """Adds an entry and gives its id. It is not sent again when its answer is lost, which could make two entries.

        Raises:
            MemoryValueError: Value or metadata are not JSON, or too large.
            ClientError: The server refused it, or gave no answer.
        """
        return self._connections.drive(steps.memory_add(self._server, self._run, key, value, metadata))

    def remove(self, *, entry_id: str | None = None, key: str | None = None) -> int:
        """Removes one entry by its id, or all entries of a key, and gives how many were removed."""
        return self._connections.drive(steps.memory_remove(self._server, self._run, entry_id, key))
