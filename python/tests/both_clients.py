"""Both clients behind one face, so that a test can be written once."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import ziet


class Blocking:
    """An `AsyncClient`, or what belongs to one, that is called as a `Client` is: each call runs the loop to its end."""

    def __init__(self, client: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        wanted = getattr(self._client, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            came = wanted(*args, **kwargs)
            if inspect.isawaitable(came):
                return self._done(came)
            return self._each(came) if isinstance(came, AsyncGenerator) else Blocking(came, self._loop)

        return call

    def _done(self, awaitable: Any) -> Any:
        async def all_of_it() -> Any:
            return await awaitable

        return self._loop.run_until_complete(all_of_it())

    def _each(self, values: AsyncGenerator[Any, None]) -> Iterator[Any]:
        try:
            while True:
                yield self._done(values.__anext__())
        except StopAsyncIteration:
            return
        finally:
            self._done(values.aclose())
            self._loop.run_until_complete(asyncio.sleep(0))


class Maker:
    """Makes clients of one kind, and closes them in the end."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._made: list[Any] = []
        self._loop = asyncio.new_event_loop()

    def __call__(self, server: Any, **options: Any) -> Any:
        given = {"url": server.url, "key": server.key} | options
        client: Any = (
            ziet.Client(**given) if self._kind == "Client" else Blocking(ziet.AsyncClient(**given), self._loop)
        )
        self._made.append(client)
        return client

    def close(self) -> None:
        for client in self._made:
            client.close()
        self._loop.close()
