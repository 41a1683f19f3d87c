"""What was written down comes back whole, or not at all."""

import asyncio
import logging
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.errors import NotFound
from shared.ports.vector_engine import Point, Space, Wanted
from shared.stores.faiss import snapshots
from shared.stores.faiss.engine import FaissEngine
from shared.stores.faiss.lease import Lease
from shared.stores.faiss.manifest import Manifest
from shared.stores.faiss.planner import Sizes
from shared.stores.faiss.rows import Rows
from shared.stores.faiss.view import Part, View, merged
from shared.stores.faiss.written import read_array, write_array
from shared.vectors.filters import Eq
from tests.vectors.faiss_data import Clustered, fill, new_space, opened, play, points_of

_SIZES = Sizes(flat_rows=1000, exact_rows=1000, exact_share=0.05, delta_rows=500)
Scenario = Callable[[FaissEngine], Awaitable[None]]


async def written(engine: FaissEngine, space: Space, *, seq: int, vectors: int = 3) -> None:
    """A snapshot that holds everything up to `seq`."""
    points = points_of(np.full((vectors, space.dimension), seq, np.float32))
    await engine.ensure(space)
    await engine.apply(space, [replace(point, seq=seq) for point in points], upto_seq=seq)
    assert await engine.snapshot(space) == seq


def place(folder: Path, space: Space) -> Path:
    return folder / "objects" / "vectors" / space.name


def folders(folder: Path, space: Space) -> list[Path]:
    """Newest first."""
    return sorted((one for one in place(folder, space).iterdir() if one.is_dir()), reverse=True)


def again(folder: Path, scenario: Scenario) -> None:
    play(folder, scenario, _SIZES)


def test_base_delta_and_what_is_deleted_come_back(tmp_path: Path) -> None:
    data = Clustered.of(3000, 64, queries=20)
    space = new_space(64)
    wanted = [
        Wanted(queries=data.queries, top_k=10),
        Wanted(queries=data.queries, top_k=10, filter=Eq("odd", True)),
        Wanted(queries=data.queries, top_k=10, contains="text of 7"),
    ]
    before: list[object] = []

    async def state(engine: FaissEngine) -> list[object]:
        points = [
            (p.number, p.vector_id, p.seq, p.metadata, p.created_at) for p in await engine.scroll(space, limit=9999)
        ]
        return [points, await engine.digest(space), *[await engine.search(space, one) for one in wanted]]

    async def write(engine: FaissEngine) -> None:
        points = [
            replace(point, text=f"text of {point.number}", metadata={"odd": point.number % 2 == 1}, created_at=1.5)
            for point in points_of(data.vectors)
        ]
        await fill(engine, space, points)
        changes = [replace(points[5], seq=4000), Point(number=7, vector_id="v7", seq=4001, vector=None)]
        await engine.apply(space, changes, upto_seq=4001)
        before.extend(await state(engine))
        assert await engine.snapshot(space) == 4001

    async def read(engine: FaissEngine) -> None:
        assert await engine.restore(space) == 4001 == await engine.applied_seq(space)
        assert await state(engine) == before
        assert not (await engine.search(space, wanted[0])).exact
        # The deletion is remembered with its seq.
        await engine.apply(space, points_of(data.vectors[7:8], first=7), upto_seq=4001)
        assert await engine.count(space) == 2999

    again(tmp_path, write)
    again(tmp_path, read)


def test_a_snapshot_is_made_beside_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: set[tuple[str, str]] = set()

    def tell(what: str) -> None:
        told.add((what, threading.current_thread().name.partition("_")[0]))

    def of(view: View, parts: Sequence[Part]) -> Rows:
        tell("changes")
        return merged(view, parts)

    class Deleted(dict[int, int]):
        def keys(self) -> Any:
            tell("deletions")
            return super().keys()

        def items(self) -> Any:
            tell("deletions")
            return super().items()

        def __iter__(self) -> Iterator[int]:
            tell("deletions")
            return super().__iter__()

    monkeypatch.setattr(snapshots, "merged", of)

    async def scenario(engine: FaissEngine) -> None:
        space = new_space(3)
        await engine.ensure(space)
        points = points_of(np.ones((5, 3), np.float32))
        await engine.apply(space, [*points, *(replace(one, seq=9, vector=None) for one in points[:2])], upto_seq=9)
        held = engine._held[space.name]
        held.deleted = Deleted(held.deleted)
        assert await engine.snapshot(space) == 9
        assert told == {("changes", "faiss-build"), ("deletions", "faiss-build")}

    again(tmp_path, scenario)


def test_as_many_deletions_as_there_are_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "_PORTION", 7)
    space = new_space(3)
    gone = [Point(number=n, vector_id=f"v{n}", seq=100 + n, vector=None) for n in range(20)]

    async def write(engine: FaissEngine) -> None:
        await engine.ensure(space)
        await engine.apply(space, gone, upto_seq=200)
        await engine.snapshot(space)

    async def read(engine: FaissEngine) -> None:
        await engine.restore(space)
        ones = np.ones((20, 3), np.float32)
        await engine.apply(space, [replace(one, seq=99 + one.number) for one in points_of(ones)], upto_seq=200)
        assert await engine.count(space) == 0
        await engine.apply(space, [replace(one, seq=100 + one.number) for one in points_of(ones)], upto_seq=200)
        assert await engine.count(space) == 20

    again(tmp_path, write)
    again(tmp_path, read)


def test_there_is_nothing_to_restore_where_nothing_was_written(tmp_path: Path) -> None:
    async def scenario(engine: FaissEngine) -> None:
        space = new_space(3)
        assert await engine.restore(space) == 0
        with pytest.raises(NotFound):
            await engine.applied_seq(space)
        await written(engine, space, seq=0, vectors=0)
        assert await engine.restore(space) == 0 == await engine.count(space)

    again(tmp_path, scenario)


def test_three_snapshots_are_kept_and_nothing_else(tmp_path: Path) -> None:
    space = new_space(3)

    async def scenario(engine: FaissEngine) -> None:
        for seq in range(1, 6):
            await written(engine, space, seq=seq)

    again(tmp_path, scenario)
    assert [int(one.name[:20]) for one in folders(tmp_path, space)] == [5, 4, 3]
    assert sorted(one.name for one in place(tmp_path, space).iterdir() if one.is_file()) == ["lease", "manifest.json"]


@pytest.mark.parametrize("harm", ["one bit", "cut off", "longer", "missing", "other content"])
def test_a_damaged_snapshot_is_passed_over_and_that_is_said(
    tmp_path: Path, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    space = new_space(3)

    async def write(engine: FaissEngine) -> None:
        for seq in (1, 2):
            await written(engine, space, seq=seq)

    async def read(engine: FaissEngine) -> None:
        assert await engine.restore(space) == 1
        assert [point.seq for point in await engine.scroll(space)] == [1, 1, 1]

    names = ["base-live", "delta-vectors.0000", "delta-ids.0000", "delta-numbers", "deleted-seqs"]
    again(tmp_path, write)
    for name in names:
        file = folders(tmp_path, space)[0] / name
        whole = file.read_bytes()
        if harm == "missing":
            file.unlink()
        else:
            middle = len(whole) // 2
            bit = bytes([whole[middle] ^ 1])
            file.write_bytes(
                {
                    "one bit": whole[:middle] + bit + whole[middle + 1 :],
                    "cut off": whole[:middle],
                    "longer": whole + b"x" * 1000,
                    "other content": pickle.dumps([1, 2, 3]),
                }[harm]
            )
        with caplog.at_level(logging.WARNING):
            again(tmp_path, read)
        assert "is damaged and passed over" in caplog.text
        caplog.clear()
        file.write_bytes(whole)


@pytest.mark.parametrize("content", [b"", b"{}", b"\x80\x04K\x01.", b'{"version": 2}', b"[" * 100_000])
def test_a_manifest_that_cannot_be_read_is_as_none_and_is_written_over(tmp_path: Path, content: bytes) -> None:
    space = new_space(3)

    async def write(engine: FaissEngine) -> None:
        await written(engine, space, seq=1)

    async def read(engine: FaissEngine) -> None:
        assert await engine.restore(space) == 0
        await written(engine, space, seq=2)
        assert await engine.restore(space) == 2

    again(tmp_path, write)
    (place(tmp_path, space) / "manifest.json").write_bytes(content)
    again(tmp_path, read)


def test_a_manifest_leads_nowhere_else() -> None:
    part = {"name": "base-live", "sha256": "0" * 64, "size_bytes": 1}
    snapshot = {"folder": "0" * 20 + "-" + "a" * 32, "applied_seq": 1, "depth": None, "parts": [part]}
    whole = {"version": 1, "dimension": 3, "metric": "l2", "snapshots": [snapshot]}
    Manifest.model_validate(whole)
    for wrong in (
        {**snapshot, "folder": "../../other"},
        {**snapshot, "parts": [{**part, "name": "../manifest.json"}]},
        {**snapshot, "parts": [{**part, "size_bytes": 1 << 40}]},
    ):
        with pytest.raises(ValueError, match="validation error"):
            Manifest.model_validate({**whole, "snapshots": [wrong]})


def test_arrays_are_read_without_anything_being_run() -> None:
    array = np.arange(6, dtype=np.int64)
    assert read_array(write_array(array), np.int64).tolist() == array.tolist()
    objects = np.array([print], dtype=object)
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        write_array(objects)
    header = write_array(array).replace(b"(6,)", b"(9,)")
    for wrong in (header, write_array(array.astype(np.float64)), write_array(array)[:20], b"", pickle.dumps(array)):
        with pytest.raises(ValueError):  # noqa: PT011 - numpy's own words
            read_array(wrong, np.int64)


def test_one_writes_at_a_time(tmp_path: Path) -> None:
    space = new_space(3)

    async def scenario(engine: FaissEngine) -> None:
        await written(engine, space, seq=1)
        async with opened(tmp_path, _SIZES) as other:
            assert await other.restore(space) == 1
            await other.apply(space, [], upto_seq=9)
            key = f"vectors/{space.name}/lease"
            async with Lease(engine.snapshots._objects, key, seconds=60) as lease:
                assert lease.is_held
                assert await other.snapshot(space) == 1
            assert await other.snapshot(space) == 9
            # Whoever is behind takes nothing away.
            await engine.apply(space, [], upto_seq=5)
            assert await engine.snapshot(space) == 9

    again(tmp_path, scenario)


def test_a_lease_passes_on_once_its_holder_has_been_silent_for_so_long(tmp_path: Path) -> None:
    space = new_space(3)

    async def scenario(engine: FaissEngine) -> None:
        key = f"vectors/{space.name}/lease"
        await Lease(engine.snapshots._objects, key, seconds=0.05).__aenter__()
        async with asyncio.timeout(60):
            while True:
                async with Lease(engine.snapshots._objects, key, seconds=60) as next_one:
                    if next_one.is_held:
                        break
                await asyncio.sleep(0.01)
        await written(engine, space, seq=1)

    again(tmp_path, scenario)


def test_a_dropped_space_leaves_nothing_behind_also_where_only_its_snapshot_is_there(tmp_path: Path) -> None:
    space = new_space(3)

    async def write(engine: FaissEngine) -> None:
        await written(engine, space, seq=1)

    async def drop(engine: FaissEngine) -> None:
        assert await engine.spaces() == [space.name]
        await engine.drop(Space.named(space.name))
        assert await engine.spaces() == []
        assert await engine.restore(space) == 0

    again(tmp_path, write)
    again(tmp_path, drop)
    assert not place(tmp_path, space).exists()


def test_a_space_that_is_further_than_its_snapshot_stays_as_it_is(tmp_path: Path) -> None:
    async def scenario(engine: FaissEngine) -> None:
        space = new_space(3)
        await written(engine, space, seq=1)
        await engine.apply(space, points_of(np.ones((1, 3), np.float32), first=50), upto_seq=51)
        assert await engine.restore(space) == 51
        assert await engine.count(space) == 4

    again(tmp_path, scenario)


def snapshots_without_end(folder: str, name: str) -> None:
    """Until this process is killed; each is told once it is written."""

    async def scenario(engine: FaissEngine) -> None:
        engine.snapshots.lease_s = 0.2
        space = Space.named(name, dimension=8)
        await engine.restore(space)
        await engine.ensure(space)
        seq = await engine.applied_seq(space)
        while True:
            seq += 1
            points = [Point(number=n, vector_id="", seq=seq, vector=np.full(8, seq, np.float32)) for n in range(400)]
            await engine.apply(space, points, upto_seq=seq)
            print(await engine.snapshot(space), flush=True)

    again(Path(folder), scenario)


def test_a_kill_while_a_snapshot_is_written_leaves_the_one_before_whole(tmp_path: Path) -> None:
    space = new_space(8, "l2")
    generator = np.random.default_rng(11)
    run = f"from {__name__} import snapshots_without_end as run; run({str(tmp_path)!r}, {space.name!r})"

    for _ in range(6):
        with subprocess.Popen(
            [sys.executable, "-c", run], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
        ) as writer:
            assert writer.stdout is not None
            told = [int(writer.stdout.readline()) for _ in range(2)]
            # Somewhere in the next one.
            time.sleep(float(generator.uniform(0, 0.05)))
            writer.kill()
            told += map(int, writer.stdout.read().split())

        async def whole(engine: FaissEngine, told: list[int] = told) -> None:
            seq = await engine.restore(space)
            assert seq >= told[-1] > 0
            points = await engine.scroll(space)
            assert [(p.number, p.seq) for p in points] == [(n, seq) for n in range(400)]
            assert all(p.vector is not None and set(p.vector.tolist()) == {float(seq)} for p in points)

        again(tmp_path, whole)
