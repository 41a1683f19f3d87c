"""One task that reads for everybody in a process, from the first who wants to hear until the end."""

import asyncio
from abc import ABC, abstractmethod
from typing import Self


class Reader(ABC):
    """`_read` runs for ever once `_begin` was called; leaving the context ends it."""

    _reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    def _begin(self) -> None:
        if self._reader is None:
            self._reader = asyncio.create_task(self._read())

    @abstractmethod
    async def _read(self) -> None: ...
