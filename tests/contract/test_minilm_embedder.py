from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shared.ports.embedders import Embedder
from shared.stores.embedders.minilm import MiniLm
from tests.contract.embedders import *  # noqa: F403
from tests.contract.embedders import Opened


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    folder: Path = tmp_path_factory.mktemp("models")

    @asynccontextmanager
    async def opened() -> AsyncIterator[Embedder]:
        model = await MiniLm.load(folder)
        try:
            yield model
        finally:
            await model.close()

    return opened
