"""Prints the actions of some modules as a JSON list, by reading their source: nothing of the project is run.

Standard input has the folders that imports start from, an empty one, and the names of the modules, separated by NUL.
What it cannot read it leaves out; of an id that is computed it does not know, and gives the one that needs none.
"""

from __future__ import annotations

import ast
import json
import os
import sys

TYPE_CHECKING = False  # The module typing is slow to import.
if TYPE_CHECKING:
    from collections.abc import Iterator


def source(module: str, folders: list[str]) -> ast.Module:
    """The module's code; none when there is no file that can be read."""
    name = os.path.join(*module.split("."))
    for folder in folders:
        for file in (name + ".py", os.path.join(name, "__init__.py")):
            try:
                with open(os.path.join(folder, file), "rb") as opened:
                    return ast.parse(opened.read())
            except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
                pass
    return ast.Module([], [])


def decorators(tree: ast.Module) -> Iterator[str]:
    """How `Action` is called in this module, as source text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                if name.name.partition(".")[0] == "ziet":
                    yield (name.asname or "ziet") + ".Action"
        elif isinstance(node, ast.ImportFrom) and node.module == "ziet":
            for name in node.names:
                if name.name == "Action":
                    yield name.asname or name.name


def options(function: ast.FunctionDef | ast.AsyncFunctionDef, called: set[str]) -> dict[str, str] | None:
    """The literal options of the decorator, None where there is none."""
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) in called:
            values = ((option.arg, getattr(option.value, "value", None)) for option in decorator.keywords)
            return {name: value for name, value in values if isinstance(value, str)}
    return None


def actions(module: str, tree: ast.Module) -> Iterator[dict[str, object]]:
    """What there is to say of each action."""
    called = set(decorators(tree))
    for node in ast.walk(tree):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        given = options(node, called)
        if given is not None:
            arguments = node.args.args + node.args.kwonlyargs
            yield {
                "id": given.get("id", f"{module}.{node.name}"),
                "function": node.name,
                "module": module,
                "description": given.get("description", ""),
                "parameters": [
                    [argument.arg, ast.unparse(argument.annotation) if argument.annotation else "Any"]
                    for argument in arguments
                ],
            }


folders, _, modules = sys.stdin.read().partition("\0\0")
found = [
    action
    for module in modules.split("\0")
    if module
    for action in actions(module, source(module, folders.split("\0")))
]
sys.stdout.write(json.dumps(found))
