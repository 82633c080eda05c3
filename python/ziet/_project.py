"""Imports a project and describes the actions that it defines. Runs in the zygote."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from typing import Any

from ziet import _process, _registry, _stack, _wire
from ziet._action import ActionFunction
from ziet._errors import ZietError
from ziet._inputs import Inputs
from ziet._results import Result

_inputs: dict[str, Inputs] = {}
_results: dict[str, Result] = {}


def load(project: _wire.Load) -> Iterator[_wire.Message]:
    """Imports the modules one by one. One that does not import blocks only the actions that it defines itself."""
    _stack.root = project.root
    sys.path[:0] = project.paths
    for module in project.modules:
        try:
            importlib.import_module(module)
        except BaseException as error:  # noqa: BLE001 - a module may raise anything, also SystemExit
            _registry.remove_module(module)
            yield _wire.Problem(_problem(module, error))
    _process.have_streams()
    for action in list(_registry.actions.values()):
        try:
            yield _wire.Action(spec(action, describe=project.describe))
        except Exception as error:  # noqa: BLE001 - a hint may raise anything when it is resolved
            del _registry.actions[action.id]
            yield _wire.Problem(_problem(action.__module__, error, action.id))
    if any(action.is_async for action in _registry.actions.values()):
        importlib.import_module("asyncio")


def inputs(action: ActionFunction[..., Any]) -> Inputs:
    """The decoder of an action's inputs; made once, and for most actions before the fork."""
    found = _inputs.get(action.id)
    if found is None:
        found = _inputs[action.id] = Inputs(action)
    return found


def result(action: ActionFunction[..., Any]) -> Result:
    """The encoder and decoder of an action's result; made once, and before the fork."""
    found = _results.get(action.id)
    if found is None:
        found = _results[action.id] = Result(action)
    return found


def make_input(action_id: str, given: bytes) -> _wire.InputMade:
    from ziet import _examples

    action = _registry.actions[action_id]
    try:
        made, told = _examples.make_input(action, inputs(action), given)
    except ZietError as error:
        return _wire.InputMade(b"{}", [], str(error))
    except Exception as error:  # noqa: BLE001 - hints and what stands in them are the user's
        failure = _stack.describe(error, "exception")
        text = f"no input for {action_id} can be made: {failure.type}: {failure.message}. Give it with `--input`"
        return _wire.InputMade(b"{}", [], text)
    return _wire.InputMade(made, told, None)


def spec(action: ActionFunction[..., Any], *, describe: bool) -> _wire.ActionSpec:
    """What is told of an action; with `describe` also its schemas and documentation."""
    decoder = inputs(action)
    result(action)  # Its mistakes are told with those of the parameters, before anything runs.
    told = _wire.ActionSpec(
        id=action.id,
        name=action.name,
        description=action.description,
        module=action.__module__,
        function=action.__name__,
        file=os.path.abspath(action.place.file),
        line=action.place.line,
        timeout=action.timeout,
        retries=action.retries,
        parameters=[_wire.Parameter(**parameter) for parameter in decoder.parameters()],
        accepts_unknown=decoder.accepts_unknown,
        memory=action.memory,
        isolation=action.isolation,
        on_lost=action.on_lost,
    )
    if describe:
        _describe(told, action)
    return told


def _describe(told: _wire.ActionSpec, action: ActionFunction[..., Any]) -> None:
    """Adds what only those need who show or call the action from outside: it takes time to make."""
    from ziet import _docstring, _schema
    from ziet._type_text import type_text

    documentation = _docstring.parse(action.local.__doc__)
    takes, gives = inputs(action), result(action)
    told.documentation = documentation.text or None
    told.stores = [_wire.Stored(*stored) for stored in documentation.stores]
    told.raises = [_wire.Raised(*raised) for raised in documentation.raises]
    for parameter, field in zip(told.parameters, takes.fields, strict=True):
        parameter.description = _schema.description_of(field.hint) or documentation.parameters.get(field.name)
    told.input_schema = _schema.input_schema(takes, told.parameters)
    told.output_schema = _schema.output_schema(gives, documentation.returns)
    told.returns = _wire.Returned(type_text(gives.hint), documentation.returns)


def _problem(module: str, error: BaseException, action: str | None = None) -> _wire.ModuleProblem:
    failure = _stack.describe(error, "exception")
    file = next((frame.file for frame in reversed(failure.frames) if frame.user), "")
    return _wire.ModuleProblem(module, file, f"{failure.type}: {failure.message}", failure.traceback or "", action)
