"""The seam between what users call and the executor that carries it out.

Whether code is inside a run is a property of the process: an executor sets `run` while it executes an attempt,
every other process leaves it `None`. The executor's loop implements `RunContext`; nothing else here knows sockets.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from ziet import _wire
    from ziet._action import ActionFunction

    class RunContext(Protocol):
        """What a running attempt offers to the code that it executes. Every method returns after the commit."""

        mocked: bool
        """Whether integrations answer with made-up data instead of calling the service."""

        def call(self, action: ActionFunction[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            """Runs `action` as a child run; an async action gives an awaitable."""

        def memory_add(self, key: str, value: bytes, metadata: bytes | None) -> str: ...

        def memory_get(self, key: str) -> bytes | None: ...

        def memory_search(self, query: str | None, filter: bytes | None, limit: int) -> list[_wire.Entry]: ...

        def memory_remove(self, entry_id: str | None, key: str | None) -> int: ...

        def integration_called(self, call: str) -> None:
            """Records a call of an integration; `call` is how it reads in code, such as `google.search("ziet")`."""


RUN_VARIABLE = "ZIET_RUN_ID"
"""Set in an executor's environment while it executes a run, and so in that of the processes that the run starts."""

run: RunContext | None = None
