"""A model behind what it has said before, with Redis there: to whoever asks, it is a model like any other."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shared.config import Settings
from shared.ports.embedders import Embedder
from shared.stores.redis import Cache
from tests.contract.embedders import *  # noqa: F403
from tests.contract.embedders import Opened
from tests.embedders.recalled import Recalled, slow


@pytest.fixture
def embedder(redis_url: str, tmp_path: Path) -> Opened:
    settings = Settings.read({"SUTAZAI_HOME": str(tmp_path), "SUTAZAI_REDIS_URL": redis_url})

    @asynccontextmanager
    async def opened() -> AsyncIterator[Embedder]:
        async with Cache(settings=settings) as cache:
            assert await cache.ping()
            recalled = Recalled(slow(), cache=cache)
            try:
                yield recalled
            finally:
                await recalled.close()

    return opened
