"""The errors that users of a client meet, and which of them an answer is.

Programs decide on classes and codes; texts are for people. What the server says is passed on in its own words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ziet._errors import ZietError

if TYPE_CHECKING:
    from ziet._client.documents import Run, RunError
    from ziet._client.http import Answer


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong in a request."""

    pointer: str
    """Where, as a JSON pointer into what was sent, such as `/input/amount`; `/runs/7/input/amount` of `submit_many`."""
    message: str


class ClientError(ZietError):
    """Something that was asked of a server was not done, or a run did not give a result."""

    code: str
    """The stable code of what went wrong: that of the server's problem, or of the run's error."""
    status: int | None
    """The status of the server's answer; None where there was none, or it was no refusal."""
    detail: str
    """What is wrong, for people."""
    request_id: str | None
    """Under which the server's log has the request."""

    def __init__(self, detail: str, *, code: str, status: int | None = None, request_id: str | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.status = status
        self.detail = detail
        self.request_id = request_id

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.args, dict(vars(self)))


class RunFailed(ClientError):
    """The run failed. What its code raised is its cause, as text."""

    run: Run[Any]
    """The run's document."""
    error: RunError
    """Why it failed: type, message, traceback and frames."""

    def __init__(self, run: Run[Any], error: RunError) -> None:
        super().__init__(f"{run.action_id} failed: {error.type}: {error.message} (run {run.id})", code=error.code)
        self.run = run
        self.error = error
        if error.traceback:
            self.__cause__ = _RunTraceback(error.traceback)

    @property
    def traceback(self) -> str:
        """The traceback of its code; empty where the process could not tell."""
        return self.error.traceback or ""


class RunCancelled(ClientError):
    """The run was cancelled, so it has no result."""

    run: Run[Any]
    """The run's document."""

    def __init__(self, run: Run[Any]) -> None:
        by, reason = (run.cancelled.by, run.cancelled.reason) if run.cancelled else ("somebody", None)
        why = f": {reason}" if reason else ""
        super().__init__(f"{run.action_id} was cancelled by {by}{why} (run {run.id})", code="cancelled")
        self.run = run


class WaitTimeout(ClientError, TimeoutError):
    """The run has not finished in the time for which it was to be waited for. It goes on."""

    run_id: str
    """The run, which can be waited for again."""

    def __init__(self, run_id: str, action_id: str, seconds: float) -> None:
        text = f"{action_id} has not finished within {seconds:g} s; its run {run_id} goes on: wait for it, or cancel it"
        super().__init__(text, code="wait_timeout")
        self.run_id = run_id


class ConnectionFailed(ClientError, ConnectionError):
    """The server could not be reached, or the connection to it broke before it answered.

    Whether it was done, nobody knows, where the text says so; else it was not.
    """


class NotFound(ClientError):
    """There is no such run, action, memory or project."""


class InvalidInput(ClientError):
    """The input does not fit the action, or the request is not one that the server takes. Nothing was done."""

    errors: Sequence[Fault] = ()
    """What is wrong, each with its place."""


class Unauthorized(ClientError):
    """The API key is missing, unknown or revoked."""


class Forbidden(ClientError):
    """The API key lacks the scope that is needed, or belongs to another project."""


class TooManyRuns(ClientError):
    """The project has as many unfinished runs as it may, and had them until the client's time was over."""


class Unavailable(ClientError):
    """The server cannot do it now, and could not until the client's time was over; it may later."""


class Problem(msgspec.Struct, frozen=True):
    """What a server says that refuses something."""

    detail: str
    code: str
    request_id: str | None = None
    errors: tuple[Fault, ...] = ()


class _RunTraceback(Exception):
    """The cause of a `RunFailed`, so that Python prints the traceback of the run above that of the client."""

    # What Python prints before the text.
    __module__ = "builtins"
    __qualname__ = "traceback of the run"

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


_CLASSES = {401: Unauthorized, 403: Forbidden, 404: NotFound, 422: InvalidInput}
_LATER = (408, 429, 500, 502, 503, 504, 507)
_problem = msgspec.json.Decoder(Problem)

# People see and catch them as `ziet.NotFound`; the file that they stand in is nobody's business.
for _error in (ClientError, *ClientError.__subclasses__()):
    _error.__module__ = "ziet"


def problem(answer: Answer) -> Problem:
    """What an answer says that is no success; what comes from a proxy in between is said in its place."""
    try:
        return _problem.decode(answer.body)
    except msgspec.MsgspecError:
        said = " ".join(answer.body.decode("utf-8", "replace").split())[:200]
        detail = f"the server, or a proxy before it, answered with status {answer.status}"
        detail = f"{detail}: {said}" if said else detail
        return Problem(detail, f"http_{answer.status}", answer.headers.get("x-request-id"))


def refused(answer: Answer, first: int = 0) -> ClientError:
    """The error that an answer is. Of many runs `first` is the number that people know the first one by."""
    told = problem(answer)
    faults = [_numbered(fault, first) for fault in told.errors]
    kind = _CLASSES.get(answer.status, Unavailable if answer.status in _LATER else ClientError)
    if told.code == "too_many_runs":
        kind = TooManyRuns
    detail = told.detail
    # One alone is mostly what the detail says already.
    if faults and not (len(faults) == 1 and detail.endswith(faults[0].message)):
        from ziet._problems import listed

        detail += ":" + listed([(fault.pointer, fault.message) for fault in faults])
    error = kind(detail, code=told.code, status=answer.status, request_id=told.request_id)
    if isinstance(error, InvalidInput):
        error.errors = tuple(faults)
    return error


def _numbered(fault: Fault, first: int) -> Fault:
    """With the number of its run among all of `submit_many`, not among those of its request."""
    begin, runs, rest = fault.pointer.partition("/runs/")
    if begin or not runs:
        return fault
    number, slash, rest = rest.partition("/")
    return Fault(f"{runs}{int(number) + first}{slash}{rest}", fault.message)


def _restored(kind: type[ClientError], args: tuple[Any, ...], attributes: dict[str, Any]) -> ClientError:
    """Pickled with what it holds: the constructors want more than the text."""
    error = kind.__new__(kind, *args)
    error.args = args
    vars(error).update(attributes)
    return error
