"""What both clients are: a server, options for the runs that are submitted, and whatever needs no waiting."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from ziet._client.server import Server
from ziet._client.submission import Chunk, Options, Submission, chunks, submission

if TYPE_CHECKING:
    from ziet._client.submission import AnyAction

DEFAULT_TIMEOUT_SECONDS = 60.0

AT_ONCE = 4
"""Requests of `submit_many` that are on their way at the same time: as many runs as a server takes in of one key."""

_NOT_GIVEN: Any = object()
C = TypeVar("C", bound="Base")


class Base:
    """What the two clients have in common."""

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        project: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> None:
        self._server = Server(url, key, project, timeout)
        self._options = Options()

    def options(
        self: C,
        *,
        memory: str | None = _NOT_GIVEN,
        idempotency_key: str | None = _NOT_GIVEN,
        metadata: Mapping[str, Any] | None = _NOT_GIVEN,
        delay: float | timedelta | None = _NOT_GIVEN,
        at: datetime | None = _NOT_GIVEN,
        start: bool = _NOT_GIVEN,
        timeout: float | None = _NOT_GIVEN,
    ) -> C:
        """The same client, over the same connections, that submits runs with these options.

        Args:
            memory: The id of the memory to use, such as `memory_id` of another run. Without it a run has a new one.
            idempotency_key: Names the request, with 1 to 256 characters: the same key with the same action and input is
                the same run, until a day after that has finished. `submit_many` adds the number of each input to it.
            metadata: What is to be found on the run again; JSON of at most 1 MB.
            delay: In how many seconds, or after which time, it is due; at most a year.
            at: When it is due, with a timezone; at most a year ahead.
            start: False to have it only created, until `start` starts it.
            timeout: For how many seconds `run` and `wait` wait for a run, which goes on; None for as long as it takes.
        """
        given = {
            "memory": memory,
            "idempotency_key": idempotency_key,
            "metadata": metadata,
            "delay": delay,
            "at": at,
            "start": start,
            "timeout": timeout,
        }
        view = object.__new__(type(self))
        vars(view).update(vars(self))
        view._options = self._options.changed({name: value for name, value in given.items() if value is not _NOT_GIVEN})
        return view

    def _submission(self, action: AnyAction | str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Submission:
        return submission(action, args, kwargs, self._options)

    def _chunks(self, action: AnyAction | str, inputs: Iterable[Mapping[str, Any]]) -> Iterator[Chunk]:
        return chunks(action, inputs, self._options)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._server.url}>"
