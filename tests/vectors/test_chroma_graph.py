"""Chroma's graph, which is asked where too many pass to be compared one by one."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from shared.config import Settings
from shared.ports.vector_engine import Point, Wanted
from shared.stores.chroma import records
from shared.stores.chroma.local import ChromaLocal
from shared.vectors.filters import Eq, Filter, Range
from tests.contract.engines.playing import filled, new_space

COUNT, DIMENSION, QUERIES, TOP_K = 2000, 32, 50, 10


@pytest.mark.parametrize("filter", [None, Eq("half", True), Range("part", lt=20)])
def test_the_graph_finds_nearly_all(filter: Filter | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "_COMPARED", 100)
    generator = np.random.default_rng(5)
    vectors = generator.standard_normal((COUNT + QUERIES, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    points = [
        Point(number=n, vector_id=str(n), seq=n + 1, vector=vectors[n], metadata={"half": n % 2 == 0, "part": n % 100})
        for n in range(COUNT)
    ]

    async def main() -> None:
        async with ChromaLocal(settings=Settings.read({"SUTAZAI_HOME": str(tmp_path)})) as engine:
            space = new_space("cosine", DIMENSION)
            oracle = await filled(engine, space, points)
            asked = Wanted(queries=vectors[COUNT:], top_k=TOP_K, filter=filter)
            answer, right = await engine.search(space, asked), await oracle.search(space, asked)
            assert not answer.exact
            found = sum(
                len({hit.number for hit in hits} & {hit.number for hit in best})
                for hits, best in zip(answer.of, right.of, strict=True)
            )
            assert found >= 0.99 * QUERIES * TOP_K

    asyncio.run(main())
