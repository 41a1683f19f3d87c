"""Chroma in this process, in a folder of this machine."""

import asyncio
import functools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Self

import chromadb
from chromadb.config import Settings as ChromaSettings

from shared.config import Settings
from shared.errors import NotFound, Unavailable
from shared.stores.chroma._errors import told
from shared.stores.chroma.records import ChromaRecords, configuration, pages

_THREADS = 4
_LISTED = 1000


class ChromaLocal(ChromaRecords):
    """No other process may have the folder open."""

    def __init__(self, *, settings: Settings) -> None:
        super().__init__()
        self._folder = settings.vectors_dir / "chroma"
        self._opening = threading.Lock()
        self._opened: Any = None

    async def __aenter__(self) -> Self:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="chroma")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._opened is not None:
            await asyncio.to_thread(self._opened.close)

    async def _do(self, call: Callable[..., Any], **named: Any) -> Any:
        def run() -> Any:
            with told():
                return call(**named)

        return await asyncio.get_running_loop().run_in_executor(self._threads, run)

    async def _collection(self, name: str) -> Any:
        return await self._do(lambda: self._client().get_collection(name, embedding_function=None))

    async def _create(self, name: str, distance: str) -> None:
        create = functools.partial(self._create_here, name, distance)
        await self._do(create)

    async def _delete(self, name: str) -> None:
        with suppress(NotFound):
            await self._do(lambda: self._client().delete_collection(name))

    async def _names(self) -> Sequence[str]:
        return await pages(lambda start: self._do(lambda: self._client().list_collections(_LISTED, start)))

    def _create_here(self, name: str, distance: str) -> None:
        self._client().get_or_create_collection(name, embedding_function=None, configuration=configuration(distance))

    def _client(self) -> Any:
        with self._opening:
            if self._opened is None:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                quiet = ChromaSettings(anonymized_telemetry=False)
                try:
                    self._opened = chromadb.PersistentClient(self._folder, settings=quiet)
                except (ValueError, RuntimeError) as exc:
                    raise Unavailable("Chroma's folder cannot be opened") from exc
            return self._opened
