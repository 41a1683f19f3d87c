"""What an engine refuses is told apart from an engine that cannot answer now: only the latter is to be asked again."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import httpx
import pytest
from chromadb.api.base_http_client import BaseHTTPClient

from shared.config import Settings
from shared.errors import NotFound, SutazaiError, Unavailable
from shared.ports.vector_engine import VectorEngine
from shared.stores.chroma._errors import told
from shared.stores.chroma.local import ChromaLocal
from shared.stores.qdrant.edge import QdrantEdge
from shared.stores.qdrant.server import QdrantServer
from tests.contract.engines.playing import new_space, point
from tests.receiver import answer, receiving

Opened = Callable[[Settings], AbstractAsyncContextManager[VectorEngine]]


@pytest.mark.parametrize("opened", [lambda home: QdrantEdge(settings=home), lambda home: ChromaLocal(settings=home)])
def test_a_vector_of_another_dimension_is_refused(tmp_path: Path, opened: Opened) -> None:
    async def main() -> None:
        space = new_space(dimension=4)
        async with asyncio.timeout(60), opened(Settings.read({"SUTAZAI_HOME": str(tmp_path)})) as engine:
            await engine.ensure(space)
            await engine.apply(space, [point(1)], upto_seq=1)
            with pytest.raises(SutazaiError, match="refuses") as caught:
                await engine.apply(space, [point(2, 1, 2, 3)], upto_seq=2)
            assert not isinstance(caught.value, Unavailable)
            assert await engine.applied_seq(space) == 1

    asyncio.run(main())


STATUSES = [
    (400, SutazaiError),
    (401, Unavailable),
    (403, Unavailable),
    (404, NotFound),
    (408, Unavailable),
    (409, SutazaiError),
    (413, SutazaiError),
    (422, SutazaiError),
    (429, Unavailable),
    (500, Unavailable),
    (503, Unavailable),
]


@pytest.mark.parametrize("status, error", STATUSES)
def test_each_answer_of_a_qdrant_server_is_told_as_what_it_is(status: int, error: type[SutazaiError]) -> None:
    async def main() -> type[BaseException]:
        async with asyncio.timeout(30), receiving(answer(status)) as receiver:
            settings = Settings.read({"SUTAZAI_QDRANT_URL": f"http://127.0.0.1:{receiver.port}"})
            async with QdrantServer(settings=settings) as engine:
                with pytest.raises(SutazaiError) as caught:
                    await engine.applied_seq(new_space())
        return caught.type

    assert asyncio.run(main()) is error


def chroma(status: int, body: str) -> type[BaseException]:
    """What its own client, and then we, make of such an answer."""
    request = httpx.Request("POST", "http://chroma")
    with pytest.raises(SutazaiError) as caught, told():
        BaseHTTPClient._raise_chroma_error(httpx.Response(status, text=body, request=request))
    return caught.type


@pytest.mark.parametrize(
    "name, error",
    [
        ("InvalidDimension", SutazaiError),
        ("InvalidArgumentError", SutazaiError),
        ("BatchSizeExceededError", SutazaiError),
        ("AuthorizationError", Unavailable),
        ("AuthError", Unavailable),
        ("NotFoundError", NotFound),
        ("RateLimitError", Unavailable),
        ("InternalError", Unavailable),
        ("ChromaError", Unavailable),
    ],
)
def test_each_error_of_a_chroma_server_is_told_as_what_it_is(name: str, error: type[SutazaiError]) -> None:
    assert chroma(400, json.dumps({"error": name, "message": "no"})) is error


@pytest.mark.parametrize("status, error", [*(each for each in STATUSES if each[0] != 404), (404, Unavailable)])
def test_an_answer_of_what_stands_before_a_chroma_server_is_too(status: int, error: type[SutazaiError]) -> None:
    assert chroma(status, "<html>") is error


def test_a_fault_of_our_own_is_no_answer_of_chroma() -> None:
    with pytest.raises(Exception, match="ours") as caught, told():
        raise Exception("ours")
    assert caught.type is Exception
