"""What is submitted: an action, its input as JSON, and the options of the run. No sockets and no waiting here."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import json

from ziet import _limits
from ziet._action import ActionFunction
from ziet._encode import Unencodable, encode, short
from ziet._errors import InputError

if TYPE_CHECKING:
    AnyAction = ActionFunction[..., Any]

BATCH_RUNS = 1000
"""Runs of one request, of which the server takes no more."""

_BATCH_BYTES = 4 * 1024 * 1024
"""Bytes of inputs from which on a request is full: a fraction of what the server takes, so that none takes long."""


class Options(NamedTuple):
    """How runs are submitted and waited for."""

    memory: str | None = None
    idempotency_key: str | None = None
    metadata: Mapping[str, Any] | None = None
    delay: float | timedelta | None = None
    at: datetime | None = None
    start: bool = True
    timeout: float | None = None

    def changed(self, given: dict[str, Any]) -> Options:
        """With other values for what is given.

        Raises:
            TypeError, ValueError: One of them cannot be.
        """
        options = self._replace(**given)
        if options.delay is not None and options.at is not None:
            raise ValueError("give either delay or at, not both")
        if options.at is not None and options.at.tzinfo is None:
            raise ValueError(f"at must have a timezone, such as datetime.now(timezone.utc), got {options.at!r}")
        if options.timeout is not None and not options.timeout >= 0:
            raise ValueError(f"timeout must be a number of seconds from 0 on, got {options.timeout!r}")
        _metadata(options.metadata)
        return options

    def encoded(self) -> bytes:
        """The members of a run's JSON that they make, but for the key; each with a comma before it."""
        members: dict[str, Any] = {}
        if self.memory is not None:
            members["memory_id"] = self.memory
        if self.delay is not None:
            members["delay_seconds"] = self.delay.total_seconds() if isinstance(self.delay, timedelta) else self.delay
        if self.at is not None:
            members["run_at"] = self.at
        if not self.start:
            members["start"] = False
        text = b"".join(b"," + json.encode(name) + b":" + json.encode(value) for name, value in members.items())
        metadata = _metadata(self.metadata)
        return text if metadata is None else text + b',"metadata":' + metadata


class Submission(NamedTuple):
    """One run that is asked for."""

    action_id: str
    body: bytes
    """The JSON of the request."""
    action: AnyAction | None
    """The function, if it was named by it: then it says what the output is."""
    options: Options


class Chunk(NamedTuple):
    """Some of many runs, as one request."""

    first: int
    """The number of its first run among all of them, from 0."""
    body: bytes


def submission(action: AnyAction | str, args: tuple[Any, ...], kwargs: dict[str, Any], options: Options) -> Submission:
    """A run of `action` with these arguments.

    Raises:
        TypeError: The arguments do not fit the function's signature, or one of them is not JSON.
        InputError: They are over 6 MB.
    """
    if isinstance(action, str):
        if args:
            raise TypeError(
                f"parameters of an action that is named by its id have names: write {action!r}, name=value; "
                "or pass the decorated function itself"
            )
        input = _object(action, kwargs)
    else:
        input = _inputs(action).encode_call(args, kwargs)
    key = json.encode(options.idempotency_key or _new_key())
    head, known = _id(action)
    body = b'%b%b%b,"idempotency_key":%b}' % (head, input, options.encoded(), key)
    return Submission(known, body, None if isinstance(action, str) else action, options)


def chunks(action: AnyAction | str, inputs: Iterable[Mapping[str, Any]], options: Options) -> Iterator[Chunk]:
    """Runs of `action`, one for each input, as requests that the server takes. The inputs are taken as these are used.

    The keys of all are made from one, so that whoever repeats the whole with a key of their own finds the same runs.

    Raises:
        TypeError: An input is no mapping, does not fit the function's signature, or is not JSON.
        InputError: It is over 6 MB.
    """
    head, known = _id(action)
    rest = options.encoded() + b',"idempotency_key":"'
    key = json.encode(options.idempotency_key or _new_key())[1:-1]
    encode_one = _encoder(action, known)
    runs: list[bytes] = []
    first = size = 0
    for number, input in enumerate(inputs):
        try:
            encoded = encode_one(input)
        except (TypeError, InputError) as error:
            # The class stays, and with it what it says of the place.
            error.args = (f"input {number}: {error}",)
            raise
        if runs and (len(runs) == BATCH_RUNS or size + len(encoded) > _BATCH_BYTES):
            yield Chunk(first, _together(runs))
            runs, first, size = [], number, 0
        runs.append(b'%b%b%b%b/%d"}' % (head, encoded, rest, key, number))
        size += len(encoded)
    if runs:
        yield Chunk(first, _together(runs))


def _together(runs: list[bytes]) -> bytes:
    return b'{"runs":[' + b",".join(runs) + b"]}"


def _encoder(action: AnyAction | str, known: str) -> Callable[[Any], bytes]:
    if isinstance(action, str):
        return functools.partial(_object, known)
    inputs = _inputs(action)

    def encode_one(input: Any) -> bytes:
        if not isinstance(input, Mapping):
            raise TypeError(f"must be a mapping of the parameters' names, got {short(input)}")
        return inputs.encode_call((), input)  # pyright: ignore[reportUnknownArgumentType]

    return encode_one


def _id(action: AnyAction | str) -> tuple[bytes, str]:
    """How the JSON of a run begins, and the action's id."""
    known = action if isinstance(action, str) else action.id
    return b'{"action_id":' + json.encode(known) + b',"input":', known


def _inputs(action: AnyAction) -> Any:
    if not isinstance(action, ActionFunction):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"the action must be its id or the function with @Action, got {short(action)}")
    from ziet import _project

    return _project.inputs(action)


def _object(known: str, input: Any) -> bytes:
    if not isinstance(input, Mapping):
        raise TypeError(f"must be a mapping of the parameters' names, got {short(input)}")
    try:
        data = encode(dict(input))  # pyright: ignore[reportUnknownArgumentType]
    except Unencodable as error:
        raise TypeError(f"the input of {known} is not JSON: {error.text('input')}") from None
    excess = _limits.too_large(len(data))
    if excess:
        raise InputError(f"wrong input for {known}: {excess}", [("", excess)])
    return data


def _metadata(metadata: Mapping[str, Any] | None) -> bytes | None:
    if metadata is None:
        return None
    if not isinstance(metadata, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"metadata must be a mapping, got {short(metadata)}")
    try:
        return encode(dict(metadata))
    except Unencodable as error:
        raise TypeError(f"metadata is not JSON: {error.text('metadata')}") from None


def _new_key() -> str:
    return os.urandom(16).hex()
