"""Qdrant's client against what it has for a server in this process, and against a server where there is one."""

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from qdrant_client import AsyncQdrantClient
from qdrant_client.http.exceptions import UnexpectedResponse

from shared.config import Settings
from shared.ports.vector_engine import VectorEngine
from shared.stores.qdrant.server import QdrantServer
from tests.contract.engines.playing import Engines
from tests.contract.vector_engines import *  # noqa: F403

# What stands in for a server compares everything, and says each time that it has no indexes.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Local mode performs exact:UserWarning"),
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning"),
]

REAL = os.environ.get("SUTAZAI_QDRANT_URL", "")


class _Answering:
    """Says as a server does that a collection is not there."""

    def __init__(self, client: AsyncQdrantClient) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        asked = getattr(self._client, name)

        async def answered(*args: Any, **named: Any) -> Any:
            try:
                return await asked(*args, **named)
            except ValueError as exc:
                if re.fullmatch(r"Collection \S+ not found", str(exc)):
                    raise UnexpectedResponse(404, "Not Found", b"", httpx.Headers()) from exc
                raise

        return answered


class InProcess(QdrantServer):
    """`client` outlives it, as a server does."""

    def __init__(self, client: AsyncQdrantClient) -> None:
        super().__init__(settings=_settings("http://127.0.0.1:9"))
        self._client: Any = _Answering(client)

    async def __aenter__(self) -> "InProcess":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


def _settings(url: str) -> Settings:
    return Settings.read({"SUTAZAI_QDRANT_URL": url})


class Clients:
    def __init__(self) -> None:
        self._server = AsyncQdrantClient(location=":memory:")

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[VectorEngine]:
        async with InProcess(self._server) as engine:
            yield engine

    @asynccontextmanager
    async def away(self) -> AsyncIterator[VectorEngine]:
        engine = QdrantServer(settings=_settings("http://127.0.0.1:9"))
        engine.patience_s = 5
        async with engine:
            yield engine


class RealClients(Clients):
    @asynccontextmanager
    async def opened(self) -> AsyncIterator[VectorEngine]:
        async with QdrantServer(settings=_settings(REAL)) as engine:
            yield engine


@pytest.fixture(params=["in process", pytest.param("server", marks=pytest.mark.connected)] if REAL else ["in process"])
def engines(request: pytest.FixtureRequest) -> Engines:
    return RealClients() if request.param == "server" else Clients()
