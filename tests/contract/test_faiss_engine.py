from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shared.config import Settings
from shared.ports.vector_engine import Space, VectorEngine
from shared.stores.faiss.engine import FaissEngine
from shared.stores.faiss.planner import Sizes
from shared.stores.objects.folder import FolderObjects
from tests.contract.vector_engines import *  # noqa: F403

# Small enough for bases to be built while a test goes on.
_SMALL = Sizes(flat_rows=2000, exact_rows=2000, delta_rows=8, delta_limit=32)


class _Engines:
    """A restart comes back from the snapshots that were written last."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[VectorEngine]:
        async with self._made() as engine:
            engine.sizes = _SMALL
            for name in await engine.spaces():
                await engine.restore(Space.named(name))
            yield engine
            for name in await engine.spaces():
                await engine.snapshot(Space.named(name))

    @asynccontextmanager
    async def away(self) -> AsyncIterator[VectorEngine]:
        async with self._made() as engine:
            pass
        yield engine

    def _made(self) -> FaissEngine:
        return FaissEngine(objects=FolderObjects(settings=Settings.read({"SUTAZAI_HOME": str(self._folder)})))


@pytest.fixture
def engines(tmp_path: Path) -> _Engines:
    return _Engines(tmp_path)
