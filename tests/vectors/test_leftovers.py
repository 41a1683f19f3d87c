"""What deleted collections have left in engines goes away, also where nobody asks for those engines any more."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np

from shared.config import Settings
from shared.ports.objects import Objects
from shared.ports.vector_engine import Space
from shared.ports.vectors import Kept, NewVector
from shared.vectors.serving.engines import Engines
from shared.wiring import Ports
from tests.vectors.layer import BACKENDS, Layer, layer
from tests.vectors.oracle import Oracle
from tests.vectors.served import Fakes, Record, play, until


class Servers(Fakes):
    """Of which nothing is known here but what they say."""

    leftovers = Engines.leftovers


def files(settings: Settings) -> Iterator[Path]:
    for folder in (settings.vectors_dir, settings.objects_dir / "vectors"):
        yield from (place for place in folder.rglob("*") if place.is_file())


async def fill(here: Layer) -> Kept:
    await here.collections.create(here.ada, "papers", dimension=3, metric="l2", model=None, backends=BACKENDS)
    new = [NewVector(id=f"v{n}", vector=np.full(3, n, np.float32), text=f"MARKED {n}") for n in range(300)]
    await here.vectors.upsert(here.ada, "papers", new, model=None)
    kept = await here.collections.find(here.ada, "papers")

    async def there() -> bool:
        return all(here.desk.stations[backend].applied_seq(kept.id) == kept.seq for backend in BACKENDS)

    await until(there)
    return kept


def test_a_restart_between_the_last_deletion_and_its_sweep_leaves_nothing(settings: Settings) -> None:
    async def main() -> None:
        async with asyncio.timeout(120), layer(settings) as here:
            await fill(here)
            await here.end()
            assert {place.name for place in settings.vectors_dir.iterdir()} == {"chroma", "qdrant"}
            assert any(b"MARKED" in place.read_bytes() for place in files(settings))
            await here.collections.delete(here.ada, "papers")
            await here.begin()

            async def nothing() -> bool:
                # Until FAISS is open, whose snapshots others may be writing, there is nothing to sweep.
                await here.desk.sweep()
                return not list(files(settings))

            await until(nothing)
            # What only this process had was taken away without that.
            assert set(here.engines.opened) == {"faiss"}
            kept = await fill(here)
            for backend in BACKENDS:
                engine, space = here.held(backend, kept)
                assert await engine.count(space) == 300

    asyncio.run(main())


def test_a_folder_that_is_open_is_left_to_the_engine(settings: Settings) -> None:
    async def main() -> None:
        async with Ports(settings) as ports:
            objects = await ports.open(Objects)
            space = Space(collection_id=uuid4(), epoch=0, dimension=3, metric="l2")
            async with Engines(settings=settings, objects=objects) as engines:
                await (await engines.open("qdrant")).ensure(space)
                assert await engines.leftovers("qdrant")
                assert await (await engines.open("qdrant")).count(space) == 0
            async with Engines(settings=settings, objects=objects) as engines:
                assert not await engines.leftovers("qdrant")
                assert await (await engines.open("qdrant")).spaces() == []

    asyncio.run(main())


def test_a_server_that_nobody_uses_is_swept_as_soon_as_it_is_there(settings: Settings) -> None:
    async def scenario(record: Record) -> None:
        qdrant = Oracle("qdrant")
        await qdrant.ensure(Space(collection_id=uuid4(), epoch=0, dimension=3, metric="l2"))
        qdrant.is_down = True
        async with record.desk(Servers(qdrant, shared=BACKENDS)) as desk:
            (state,) = [one for one in await desk.engines() if one.backend == "qdrant"]
            assert state.status == "ok" and "qdrant cannot be reached" in state.detail
            qdrant.is_down = False

            async def nothing() -> bool:
                await desk.sweep()
                return qdrant.spaces_held == {}

            await until(nothing)

    play(settings, scenario)
