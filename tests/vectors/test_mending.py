"""What a sweep has mended stays so: a snapshot from before does not bring the fault back."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import numpy as np
import pytest

from shared.config import Settings
from shared.errors import Unavailable
from shared.ports.vector_engine import Point, SnapshottingEngine, Space
from shared.ports.vectors import NewVector
from shared.vectors.reconcile import digest_of
from tests.vectors.layer import Layer, layer


async def _is_right(here: Layer) -> bool:
    kept = await here.collections.find(here.ada, "papers")
    engine, space = here.held("faiss", kept)
    numbers, seqs = await here.truth.versions(kept.id, upto_seq=kept.seq)
    return bool(np.array_equal(np.array(await engine.digest(space), np.uint64), digest_of(numbers, seqs)))


def _break(here: Layer, collection: UUID) -> None:
    opened = here.engines.opened["faiss"]
    digest = opened.digest

    async def broken(space: Space) -> Sequence[int]:
        if space.collection_id == collection:
            raise Unavailable("this one is away")
        return await digest(space)

    opened.digest = broken  # type: ignore[method-assign]


@pytest.mark.parametrize("other_fails", [False, True])
def test_a_collection_that_was_mended_is_saved_anew(settings: Settings, other_fails: bool) -> None:
    async def main() -> None:
        async with asyncio.timeout(120), layer(settings) as here:
            new = [NewVector(id=f"v{number}", vector=np.full(3, number, np.float32)) for number in range(20)]
            for name in ("papers", "others"):
                await here.collections.create(here.ada, name, dimension=3, metric="l2", model=None, backends=("faiss",))
                await here.vectors.upsert(here.ada, name, new, model=None)
            await here.end()
            await here.begin()
            await here.desk.settled()
            engine, space = here.held("faiss", await here.collections.find(here.ada, "papers"))
            assert isinstance(engine, SnapshottingEngine)
            await engine.apply(space, [Point(number=7, vector_id="v7", seq=8, vector=None)], upto_seq=20)
            await engine.snapshot(space)
            assert not await _is_right(here)
            if other_fails:
                _break(here, (await here.collections.find(here.ada, "others")).id)
            states = {state.backend: state for state in await here.desk.sweep()}
            assert (states["faiss"].drifted, states["faiss"].repaired) == (1, 1)
            await here.end()
            await here.begin()
            await here.desk.settled()
            assert await _is_right(here)

    asyncio.run(main())
