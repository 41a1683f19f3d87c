from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from shared.ports.vector_engine import VectorEngine
from tests.contract.engines.playing import Engines
from tests.contract.vector_engines import *  # noqa: F403
from tests.vectors.oracle import Oracle


class Oracles:
    def __init__(self) -> None:
        self._oracle = Oracle()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[VectorEngine]:
        yield self._oracle

    @asynccontextmanager
    async def away(self) -> AsyncIterator[VectorEngine]:
        oracle = Oracle()
        oracle.is_down = True
        yield oracle


@pytest.fixture
def engines() -> Engines:
    return Oracles()
