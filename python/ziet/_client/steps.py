"""What clients ask of a server, as generators that are driven: each yields what is to be done next, and is sent what
came of it. So what is repeated, waited for and decided stands here once, for a client that blocks and one that awaits.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Generator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from ziet._action import ActionFunction
from ziet._client.documents import LogLine, Run, RunSummary, StoredEntry, action_of, as_run, run_of
from ziet._client.errors import ClientError, ConnectionFailed, RunCancelled, RunFailed, WaitTimeout, refused
from ziet._client.http import Answer, Events, Request, Unanswered
from ziet._encode import encode_filter, encode_memory, encode_metadata
from ziet._entry import Entry

if TYPE_CHECKING:
    from ziet._client.server import Server
    from ziet._client.submission import AnyAction, Chunk, Submission

POLL_SECONDS = 50
"""How long the server is asked to hold back its answer while a run is waited for: less than proxies let connections be
without a byte."""

_NEW_SERVER_SECONDS = 5
"""How long is tried to reach a server that has never answered: it may rather be misspelt than away."""

_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0
_SHORT_POLL_SECONDS = 0.1
"""Between two looks at a run where the server is not asked to wait, or does not."""

_SILENCE_SECONDS = 30
"""How long a live answer may be silent. The server says every 15 seconds that it is still there."""

_PAGE = 100
"""The most that the server gives of a list at a time."""

T = TypeVar("T")


class Live(Protocol):
    """A connection over which an answer comes that has no end yet."""

    def close(self) -> None:
        """Hangs up."""


class Pause(NamedTuple):
    """Nothing is to be done for so many seconds."""

    seconds: float


class More(NamedTuple):
    """More of a live answer is to be read. What comes of it is bytes, none of them at its end."""

    answer: Answer


class Give(NamedTuple):
    """A value for whoever iterates."""

    value: Any


Step = Request | Pause | More | Give
Steps = Generator[Step, Any, T]


class Course(Generic[T]):
    """Steps that are being taken: what a driver sends to them, and what it must let go of in the end."""

    result: T

    def __init__(self, steps: Steps[T]) -> None:
        self._steps = steps
        self._live: Live | None = None

    def next(self, came: Any = None) -> Step | None:
        """The step after one of which this came; None at the end, when there is a result."""
        try:
            return self._steps.send(came)
        except StopIteration as end:
            self.result = end.value
            return None

    def failed(self, failure: Unanswered) -> Step | None:
        """The step after one of which nothing came."""
        try:
            return self._steps.throw(failure)
        except StopIteration as end:
            self.result = end.value
            return None

    def hold(self, live: Live) -> None:
        """Keeps the connection of a live answer until there is another, or nobody reads it any more."""
        self.close()
        self._live = live

    def close(self) -> None:
        """Lets go of it."""
        if self._live is not None:
            self._live.close()
            self._live = None


class Patience:
    """How long something is tried, and how long is paused in between."""

    def __init__(self, server: Server, waits: float = 0) -> None:
        self._server = server
        self._waits = waits
        """Seconds that the first answer may take for a good reason."""
        self.renew()

    def renew(self) -> None:
        """From now on it counts anew."""
        self._begun = time.monotonic()
        self._since: float | None = None
        self._pause = _FIRST_PAUSE_SECONDS

    def pause(self, asked: float | None = None) -> Pause | None:
        """The time until the next try: as long as was asked for, or longer each time. None when it is over."""
        now = time.monotonic()
        if self._since is None:
            self._since = min(now, self._begun + self._waits)
        most = self._server.timeout
        if not self._server.has_answered:
            most = min(most, _NEW_SERVER_SECONDS)
        # So that those who were refused together do not come back together.
        pause = (asked if asked is not None else self._pause) * random.uniform(1, 1.2)
        self._pause = min(self._pause * 2, _LONGEST_PAUSE_SECONDS)
        return Pause(pause) if now + pause < self._since + most else None


def answered(server: Server, request: Request, patience: Patience | None = None) -> Steps[Answer]:
    """Asks until there is an answer that is a success, as far as asking again is safe.

    Raises:
        ClientError: The server refused it, or could not be reached.
    """
    patience = patience or Patience(server, request.wait)
    while True:
        try:
            answer: Answer = yield request
        except Unanswered as failure:
            pause = _after(server, request, failure, patience)
        else:
            server.has_answered = True
            if answer.status < 300:
                return answer
            pause = patience.pause(after) if (after := _asked(answer, request)) is not None else None
            if pause is None:
                raise refused(answer, request.first)
        yield pause


def _after(server: Server, request: Request, failure: Unanswered, patience: Patience) -> Pause:
    """What follows when there was no answer."""
    safe = request.repeatable or not failure.sent
    if safe and failure.stale:
        # That the server had closed it meanwhile says nothing about a new one.
        return Pause(0)
    pause = patience.pause() if safe and not failure.hopeless else None
    if pause is None:
        raise _unreached(server, request, failure) from failure.__cause__
    return pause


def _asked(answer: Answer, request: Request) -> float | None:
    """After how many seconds to ask again. None if that is of no use, or not safe."""
    seconds = answer.headers.get("retry-after", "")
    if seconds.isdigit():
        return float(seconds)
    # From something in between, which may have passed it on.
    return 1.0 if answer.status in (502, 503, 504) and request.repeatable else None


def _unreached(server: Server, request: Request, failure: Unanswered) -> ConnectionFailed:
    cause = failure.__cause__
    why = str(cause) or type(cause).__name__
    if isinstance(cause, (TimeoutError, ConnectionRefusedError)):
        # What the system calls it differs.
        why = "it does not answer" if isinstance(cause, TimeoutError) else "the connection is refused"
    text = f"{server.url} cannot be reached: {why}"
    if failure.sent:
        text = f"{server.url} gave no answer: {why}"
        if not request.repeatable:
            text += f"; whether {request.method} {request.path} was carried out is not known"
    elif isinstance(cause, ConnectionRefusedError) and not server.has_answered:
        text += "; see that `ziet serve` runs, and listens there"
    return ConnectionFailed(text, code="connection_failed")


def path_of(run: RunSummary | str, *more: str) -> str:
    """The path of a run, or of something of it."""
    known = run if isinstance(run, str) else run.id
    return "/".join(["/v1/runs", quote(known, safe=""), *more])


def submit(server: Server, submission: Submission, wait: int = 0) -> Steps[Run[Any]]:
    """The run, once it is accepted, or when it has finished within so many seconds."""
    path = f"/v1/runs?wait={wait}" if wait else "/v1/runs"
    answer = yield from answered(server, Request("POST", path, submission.body, wait))
    return run_of(answer.body, submission.action)


def run(server: Server, submission: Submission) -> Steps[Any]:
    """The output of a new run.

    Raises:
        RunFailed, RunCancelled, WaitTimeout, ClientError: There is none.
    """
    if not submission.options.start:
        raise ValueError("a run with start=False does not finish: use submit, and later start and wait")
    end = _end(submission.options.timeout)
    known = yield from submit(server, submission, end.poll())
    return (yield from _output(server, known, submission.action, end))


def wait(server: Server, run: RunSummary | str, action: AnyAction | None, timeout: float | None) -> Steps[Any]:
    """The output of a run, as `run` gives it."""
    return (yield from _output(server, run, action or action_of(run), _end(timeout)))


class _End(NamedTuple):
    """When waiting for a run ends."""

    timeout: float
    at: float

    @property
    def left(self) -> float:
        return self.at - time.monotonic()

    def poll(self) -> int:
        """For how long to ask the server to wait: in whole seconds, and none too many."""
        return math.floor(min(POLL_SECONDS, max(self.left, 0)))


def _end(timeout: float | None) -> _End:
    return _End(math.inf, math.inf) if timeout is None else _End(timeout, time.monotonic() + timeout)


def _output(server: Server, run: RunSummary | str, action: AnyAction | None, end: _End) -> Steps[Any]:
    known: Run[Any] | None = None if isinstance(run, str) else as_run(run)
    while known is None or not known.finished:
        begun, wait = time.monotonic(), end.poll()
        request = Request("GET", f"{path_of(run)}?wait={wait}", wait=wait)
        known = run_of((yield from answered(server, request)).body, action)
        if known.finished:
            break
        if end.left <= 0:
            raise WaitTimeout(known.id, known.action_id, end.timeout)
        if time.monotonic() - begun < _SHORT_POLL_SECONDS:
            # A server that is about to stop does not wait any more; nor is it asked to at the very end.
            yield Pause(min(_SHORT_POLL_SECONDS, end.left))
    return _outcome(known)


def _outcome(run: Run[Any]) -> Any:
    if run.error is not None:
        raise RunFailed(run, run.error)
    if run.status == "cancelled":
        raise RunCancelled(run)
    return run.output


def get(server: Server, run: RunSummary | str, action: AnyAction | None) -> Steps[Run[Any]]:
    """The run as it stands."""
    answer = yield from answered(server, Request("GET", path_of(run)))
    return run_of(answer.body, action or action_of(run))


def start(server: Server, run: RunSummary | str) -> Steps[Run[Any]]:
    """Starts a run that was only created. One that was started already stays as it is."""
    try:
        yield from answered(server, Request("POST", path_of(run, "invoke")))
    except ClientError as error:
        if error.code not in ("not_created", "run_finished"):
            raise
    return (yield from get(server, run, None))


def cancel(server: Server, run: RunSummary | str, reason: str | None) -> Steps[Run[Any]]:
    """Cancels a run and all that it has called. One that was cancelled already stays as it is."""
    body = msgspec.json.encode({} if reason is None else {"reason": reason})
    answer = yield from answered(server, Request("POST", path_of(run, "cancel"), body))
    return run_of(answer.body, action_of(run))


def retry(server: Server, run: RunSummary | str) -> Steps[Run[Any]]:
    """A new run of what a finished one was."""
    # Twice would be two runs: the server takes no key for it.
    answer = yield from answered(server, Request("POST", path_of(run, "retry"), repeatable=False))
    return run_of(answer.body, action_of(run))


class _Accepted(msgspec.Struct, frozen=True):
    id: str


class _AcceptedRuns(msgspec.Struct, frozen=True):
    data: list[_Accepted]


_accepted_runs = msgspec.json.Decoder(_AcceptedRuns)


def submit_chunk(server: Server, chunk: Chunk) -> Steps[list[str]]:
    """The ids of its runs."""
    answer = yield from answered(server, Request("POST", "/v1/runs/batch", chunk.body, first=chunk.first))
    return [run.id for run in _accepted_runs.decode(answer.body).data]


class _Removed(msgspec.Struct, frozen=True):
    removed: int


class _Pagination(msgspec.Struct, frozen=True):
    has_more: bool
    next_cursor: str | None


class _Page(msgspec.Struct, Generic[T], frozen=True):
    data: list[T]
    pagination: _Pagination


def _page(
    server: Server, path: str, query: Mapping[str, Any], decoder: msgspec.json.Decoder[_Page[T]]
) -> Steps[_Page[T]]:
    answer = yield from answered(server, Request("GET", _with_query(path, query)))
    return decoder.decode(answer.body)


def _with_query(path: str, query: Mapping[str, Any]) -> str:
    given = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def _pages(
    server: Server, path: str, query: Mapping[str, Any], decoder: msgspec.json.Decoder[_Page[T]], cursor: str = "cursor"
) -> Steps[None]:
    """Gives what a list holds, page by page; `cursor` is the parameter that says where the page before ended."""
    place: Mapping[str, Any] = {"limit": _PAGE}
    while True:
        page = yield from _page(server, path, {**query, **place}, decoder)
        for entry in page.data:
            yield Give(entry)
        if not page.pagination.has_more:
            return
        place = {"limit": _PAGE, cursor: page.pagination.next_cursor}


_run_pages = msgspec.json.Decoder(_Page[RunSummary])
_line_pages = msgspec.json.Decoder(_Page[LogLine])
_entry_pages = msgspec.json.Decoder(_Page[StoredEntry])
_line = msgspec.json.Decoder(LogLine)
_entry = msgspec.json.Decoder(StoredEntry)
_removed = msgspec.json.Decoder(_Removed)


def runs(server: Server, filters: dict[str, Any]) -> Steps[None]:
    """Gives the runs that fit, the newest first."""
    query = {name: _word(value) for name, value in filters.items()}
    return _pages(server, "/v1/runs", query, _run_pages)


def _word(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"a time must have a timezone, such as datetime.now(timezone.utc), got {value!r}")
        return value.isoformat()
    if isinstance(value, RunSummary):
        return value.id
    if isinstance(value, ActionFunction):
        return value.id
    return ",".join(value)


def logs(server: Server, run: RunSummary | str, level: str | None, search: str | None, follow: bool) -> Steps[None]:
    """Gives the lines of a run's log: those that there are, and with `follow` those that come until it has finished."""
    path = path_of(run, "logs")
    query = {"level": level, "search": search}
    if not follow:
        yield from _pages(server, path, query, _line_pages, "after")
        return
    seen, patience = "", Patience(server, _SILENCE_SECONDS)
    while True:
        request = Request("GET", _with_query(path, query), wait=_SILENCE_SECONDS, live=True, last_event=seen)
        answer = yield from answered(server, request, patience)
        events = Events()
        try:
            while data := (yield More(answer)):
                for event in events.feed(data):
                    if event.name == "end":
                        return
                    seen = event.id
                    yield Give(_line.decode(event.data))
                patience.renew()
        except Unanswered:
            # It is asked for again, from the last line on.
            pass
        if (pause := patience.pause()) is None:
            raise ConnectionFailed(f"{server.url} ends the log of the run again and again", code="connection_failed")
        yield pause


def memory_get(server: Server, run: RunSummary | str, key: str) -> Steps[Any]:
    """The newest value under a key, None if there is none."""
    page = yield from _page(server, path_of(run, "memory"), {"key": key}, _entry_pages)
    return page.data[0].value if page.data else None


def memory_search(
    server: Server, run: RunSummary | str, query: str | None, filter: Mapping[str, Any] | None, limit: int
) -> Steps[list[Entry]]:
    """The newest entries that match, the newest first."""
    if limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    labels = encode_filter(filter)
    asked = {"query": query, "filter": labels and labels.decode()}
    found: list[StoredEntry] = []
    cursor = None
    while True:
        place = {"limit": min(limit - len(found), _PAGE), "cursor": cursor}
        page = yield from _page(server, path_of(run, "memory"), asked | place, _entry_pages)
        found += page.data
        if len(found) == limit or not page.pagination.has_more:
            return [Entry(*msgspec.structs.astuple(entry)) for entry in found]
        cursor = page.pagination.next_cursor


def memory_add(
    server: Server, run: RunSummary | str, key: str, value: Any, metadata: Mapping[str, Any] | None
) -> Steps[str]:
    """The id of a new entry."""
    data = b'{"key":%b,"value":%b' % (msgspec.json.encode(key), encode_memory(key, value))
    labels = encode_metadata(key, metadata)
    body = data + (b"}" if labels is None else b',"metadata":%b}' % labels)
    # Twice would be two entries.
    answer = yield from answered(server, Request("POST", path_of(run, "memory"), body, repeatable=False))
    return _entry.decode(answer.body).entry_id


def memory_remove(server: Server, run: RunSummary | str, entry_id: str | None, key: str | None) -> Steps[int]:
    """How many entries were removed."""
    if (entry_id is None) == (key is None):
        raise TypeError("remove takes one of entry_id=… and key=…")
    path = _with_query(path_of(run, "memory"), {"entry_id": entry_id, "key": key})
    # A second time it would say that there are none.
    answer = yield from answered(server, Request("DELETE", path, repeatable=False))
    return _removed.decode(answer.body).removed
