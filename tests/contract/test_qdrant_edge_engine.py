from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shared.config import Settings
from shared.ports.vector_engine import VectorEngine
from shared.stores.qdrant.edge import QdrantEdge
from tests.contract.engines.playing import Engines
from tests.contract.vector_engines import *  # noqa: F403


class Edges:
    def __init__(self, home: Path) -> None:
        self._home = home

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[VectorEngine]:
        async with QdrantEdge(settings=Settings.read({"SUTAZAI_HOME": str(self._home)})) as engine:
            yield engine

    @asynccontextmanager
    async def away(self) -> AsyncIterator[VectorEngine]:
        home = self._home / "away"
        (home / "vectors").mkdir(parents=True)
        (home / "vectors" / "qdrant").write_bytes(b"no folder")
        async with Edges(home).opened() as engine:
            yield engine


@pytest.fixture
def engines(tmp_path: Path) -> Engines:
    return Edges(tmp_path)
