from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from shared.ports.embedders import Embedder
from shared.stores.embedders.static import Static
from tests.contract.embedders import *  # noqa: F403
from tests.contract.embedders import Opened


@pytest.fixture
def embedder() -> Opened:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Embedder]:
        model = await Static.load()
        try:
            yield model
        finally:
            await model.close()

    return opened
