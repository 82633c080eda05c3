"""The actions that were defined in this process, by id.

The decorator adds to it, the executor looks up in it. One id means one function.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ziet._action import ActionFunction

actions: dict[str, ActionFunction[..., Any]] = {}
"""Every action by its id, in the order of definition."""


def remove_module(module: str) -> None:
    """Drops the actions that `module` defined: after a failed import, what it got as far as defining must not count."""
    for action in [action for action in actions.values() if action.__module__ == module]:
        del actions[action.id]
