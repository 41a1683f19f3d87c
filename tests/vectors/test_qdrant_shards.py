"""qdrant-edge's folders: a crash, a damaged shard, more spaces than are kept open, and what is not ours."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from qdrant_client import AsyncQdrantClient, models

from shared.config import Settings
from shared.errors import ConfigurationError, NotFound
from shared.ports.vector_engine import Space
from shared.stores.qdrant import server, shards
from shared.stores.qdrant.edge import QdrantEdge
from shared.stores.qdrant.server import QdrantServer
from shared.vectors.filters import Eq
from tests.contract.engines.playing import filled, gone, new_space, point, same_search, same_state, wanted
from tests.contract.test_qdrant_client_engine import InProcess
from tests.vectors.oracle import Oracle

_NAME = "sz_00000000000000000000000000000001_0"
_WRITER = f"""
import asyncio, os, signal
from shared.config import Settings
from shared.ports.vector_engine import Space
from shared.stores.qdrant.edge import QdrantEdge
from tests.contract.engines.playing import gone, point

async def main():
    async with QdrantEdge(settings=Settings.read()) as engine:
        space = Space.named({_NAME!r}, dimension=4, metric="dot")
        await engine.ensure(space)
        await engine.apply(space, [point(n, metadata={{"n": n}}) for n in range(1, 300)], upto_seq=299)
        await engine.apply(space, [gone(7, 300)], upto_seq=300)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def _engine(home: Path) -> QdrantEdge:
    return QdrantEdge(settings=Settings.read({"SUTAZAI_HOME": str(home)}))


def test_what_was_applied_outlives_a_kill(tmp_path: Path) -> None:
    environ = {**os.environ, "SUTAZAI_HOME": str(tmp_path)}
    killed = subprocess.run([sys.executable, "-c", _WRITER], env=environ, timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL
    space = Space.named(_NAME, dimension=4, metric="dot")

    async def main() -> None:
        oracle = Oracle()
        await oracle.ensure(space)
        await oracle.apply(space, [*(point(n, metadata={"n": n}) for n in range(1, 300)), gone(7, 300)], upto_seq=300)
        async with _engine(tmp_path) as engine:
            await same_state(engine, oracle, space)
            await same_search(engine, oracle, space, wanted())

    asyncio.run(main())


def test_a_shard_that_cannot_be_read_is_lost_and_makes_way(tmp_path: Path) -> None:
    space = new_space()

    async def main() -> None:
        async with _engine(tmp_path) as engine:
            await filled(engine, space, [point(1)])
        (tmp_path / "vectors" / "qdrant" / space.name / "edge_config.json").write_text("{")
        async with _engine(tmp_path) as engine:
            with pytest.raises(NotFound):
                await engine.applied_seq(space)
            await same_state(engine, await filled(engine, space, [point(2)]), space)

    asyncio.run(main())


def test_of_many_spaces_only_some_are_kept_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "_OPEN", 2)

    async def main() -> None:
        async with _engine(tmp_path) as engine:
            spaces = [new_space() for _ in range(5)]
            oracles = [await filled(engine, space, [point(n)]) for n, space in enumerate(spaces, 1)]
            async with asyncio.TaskGroup() as group:
                for space, oracle in zip(spaces, oracles, strict=True):
                    group.create_task(same_state(engine, oracle, space))
            assert len(engine._shards._open) == 2

    asyncio.run(main())


def test_collections_of_others_are_none_of_ours() -> None:
    async def main() -> None:
        client = AsyncQdrantClient(location=":memory:")
        for name in ("documents", "sz_1_2", "sz_a_b_c"):
            await client.create_collection(
                name, vectors_config=models.VectorParams(size=2, distance=models.Distance.DOT)
            )
        async with InProcess(client) as engine:
            assert await engine.spaces() == []

    asyncio.run(main())


@pytest.mark.filterwarnings("ignore:Local mode performs exact:UserWarning")
@pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning")
def test_many_that_pass_are_looked_for_in_the_graph_and_few_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_COMPARED", 20)

    async def main() -> None:
        async with InProcess(AsyncQdrantClient(location=":memory:")) as engine:
            space = new_space()
            await filled(engine, space, [point(n, metadata={"few": n % 10 == 0}) for n in range(1, 101)])
            asked = (wanted(), wanted(filter=Eq("few", False)), wanted(filter=Eq("few", True)))
            assert [(await engine.search(space, one)).exact for one in asked] == [False, False, True]

    asyncio.run(main())


@pytest.mark.parametrize("url", ["", "qdrant", "ftp://host", "http://"])
def test_what_is_no_server_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="SUTAZAI_QDRANT_URL is not"):
        QdrantServer(settings=Settings.read({"SUTAZAI_QDRANT_URL": url}))
