"""Which engines this process can open, each when a collection first asks for it."""

import asyncio
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Self

from shared.config import Settings
from shared.errors import ConfigurationError, Unavailable
from shared.ports.objects import Objects
from shared.ports.vector_engine import Backend, Chroma, Faiss, Qdrant, VectorEngine
from shared.wiring import Ports

_LOOK_S = 10.0
# Below which FAISS keeps its snapshots.
_SNAPSHOTS = "vectors/"


class Engines:
    """Drivers of engines are large, and Chroma's is not installed everywhere."""

    def __init__(self, *, settings: Settings, objects: Objects) -> None:
        self._settings = settings
        self._objects = objects
        self._ports = Ports(settings, {Objects: objects})
        self._opened: set[Backend] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._ports.__aexit__()

    def is_shared(self, backend: Backend) -> bool:
        """Whether it is a server, which holds the same for all replicas of this service."""
        urls = {"qdrant": self._settings.qdrant_url, "chroma": self._settings.chroma_url}
        return bool(urls.get(backend))

    async def open(self, backend: Backend) -> VectorEngine:
        """The same one each time. Raises Unavailable, which says what is missing."""
        self._opened.add(backend)
        try:
            match backend:
                case "faiss":
                    return await self._ports.open(Faiss)
                case "qdrant":
                    return await self._ports.open(Qdrant)
                case "chroma":
                    return await self._ports.open(Chroma)
        except ImportError as exc:
            raise Unavailable(f"{backend} is not installed here: {exc.name or exc} is missing") from exc
        except ConfigurationError as exc:
            raise Unavailable(str(exc)) from exc

    async def leftovers(self, backend: Backend) -> bool:
        """Whether it has to be opened, though no collection is in it, for what it holds to be dropped.

        A folder is removed instead where this process has not opened it: that takes no driver, and Chroma leaves in
        its files what it has deleted. Raises Unavailable and TimeoutError.
        """
        if self.is_shared(backend):
            async with asyncio.timeout(_LOOK_S):
                return bool(await (await self.open(backend)).spaces())
        if backend in self._opened:
            return True
        if backend == "faiss":
            async with asyncio.timeout(_LOOK_S):
                return bool([stored async for stored in self._objects.list(_SNAPSHOTS)])
        await asyncio.to_thread(_removed, self._settings.vectors_dir / backend)
        return False


def _removed(folder: Path) -> None:
    """Out of its place at once, so that a crash leaves none that is half deleted."""
    away = folder.with_name(f".{folder.name}")
    try:
        with suppress(FileNotFoundError):
            shutil.rmtree(away)
        with suppress(FileNotFoundError):
            folder.rename(away)
            shutil.rmtree(away)
    except OSError as exc:
        raise Unavailable(f"the folder of {folder.name} cannot be removed", reason=exc.strerror or "") from exc
