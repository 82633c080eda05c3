"""What a server tells of runs, as users of a client see it. Fields that this version does not know are left out."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import msgspec

if TYPE_CHECKING:
    from ziet._action import ActionFunction

T = TypeVar("T")


class RunError(msgspec.Struct, frozen=True, kw_only=True):
    """Why an attempt or a run did not complete."""

    type: str
    """The exception's class: its name for builtins, else with its module."""
    message: str
    code: str
    """One of the stable codes of errors, such as `exception` or `timed_out`."""
    traceback: str | None = None
    """As Python prints it. Lists of runs leave it out."""
    frames: list[dict[str, Any]] = []
    """The stack, the outermost call first: `file`, `line`, `function`, `source`, `user`. Lists of runs leave it out."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of a run that has ended."""

    number: int
    """From 1."""
    outcome: str
    """`completed`, `failed`, `timed_out`, `out_of_memory`, `crashed`, `lost` or `cancelled`."""
    error: RunError | None
    started_at: datetime
    finished_at: datetime
    cpu_ms: int | None
    peak_memory_bytes: int | None


class Cancelled(msgspec.Struct, frozen=True):
    """Who cancelled a run, and why."""

    by: str
    reason: str | None = None


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A run as lists show it: without input, output and attempts."""

    id: str
    action_id: str
    project_id: str
    deployment_id: str | None
    """The version of the code that accepted it."""
    status: str
    """`created`, `scheduled`, `queued`, `running`, `retrying` or `waiting`; in the end `completed`, `failed` or
    `cancelled`."""
    waiting_on: str | None
    """What a waiting run waits for."""
    error: RunError | None
    """Why it failed, None unless it did."""
    memory_id: str
    """The memory that its whole tree of runs shares."""
    parent_id: str | None
    """The run that called it."""
    root_id: str
    """The run at the root of its tree; itself for one that nobody called."""
    metadata: Any
    """What whoever submitted it wanted to find on it again."""
    run_at: datetime | None
    """When it is due, or its next attempt is."""
    retry_of: str | None
    """The run that it repeats."""
    cancelled: Cancelled | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def finished(self) -> bool:
        """Whether it has completed, failed or been cancelled."""
        return self.finished_at is not None


# With a dict, for what is not of the document: the action that says what the output is.
class Run(RunSummary, Generic[T], frozen=True, kw_only=True, dict=True):
    """A run as it stood when it was asked for."""

    input: Any
    """The arguments, as JSON values."""
    output: T
    """What the action returned: as its return annotation says if the run was asked for with the function, else JSON
    values. None unless it is `completed`."""
    attempts: list[Attempt]
    """The attempts that have ended, the first one first."""


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line that the code of a run printed or logged."""

    seq: int
    """Its number in the run, from 1."""
    at: datetime
    attempt: int
    """The attempt that printed it; 0 before the first one."""
    level: str
    """`info`, `warn` or `error`."""
    text: str


class StoredEntry(msgspec.Struct, frozen=True):
    """An entry of a memory, its fields in the order of `ziet.memory.Entry`."""

    entry_id: str
    key: str
    value: Any
    metadata: dict[str, Any] | None
    created_at: datetime
    run_id: str | None
    attempt: int | None


_run = msgspec.json.Decoder(Run[msgspec.Raw])


def run_of(document: bytes, action: ActionFunction[..., Any] | None) -> Run[Any]:
    """A run from its document; `action` is the function that says what the output is, if somebody named it."""
    run = _run.decode(document)
    vars(run)["action"] = action
    output: Any = None
    if run.status == "completed":
        output = msgspec.json.decode(run.output) if action is None else _result(action, bytes(run.output))
    msgspec.structs.force_setattr(run, "output", output)
    return run


def action_of(run: RunSummary | str) -> ActionFunction[..., Any] | None:
    """The function that the run was asked for with, if it was."""
    known = None if isinstance(run, str) else as_run(run)
    return None if known is None else vars(known).get("action")


def as_run(run: RunSummary) -> Run[Any] | None:
    """The run with all of its document, if it was asked for so."""
    return cast("Run[Any]", run) if isinstance(run, Run) else None


def _result(action: ActionFunction[..., Any], output: bytes) -> Any:
    from ziet import _project

    return _project.result(action).decode(output)
