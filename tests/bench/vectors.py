"""`make bench B=vectors`: recall at every selectivity, and what a search costs beside FAISS itself and beside others.

Of two collections: passages of a documentation with questions about them, and more vectors than that, made up in
clusters. The first is also in qdrant-edge and in Chroma. Shares of the service's CPU have bounds for the second alone:
among the passages FAISS finds the best in a tenth of a millisecond, less than any request over HTTP costs.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from shared.ports.vector_engine import Space, Wanted
from shared.stores.faiss.codes import Codes
from shared.stores.faiss.engine import FaissEngine
from shared.stores.faiss.planner import Sizes
from shared.vectors.filters import Range
from tests.bench._vector_data import of_text
from tests.bench._vector_service import SHARE
from tests.bench._vector_service import measured as service
from tests.report import Target, at_least, at_most, report
from tests.vectors.faiss_data import Clustered, Matrix, fill, new_space, opened, points_of

_DIMENSION = 384
_QUERIES = 320
_ROUNDS = 9
_SHARES = (0.5, 0.1, 0.02, 0.005)
_BEST = 10


async def _recall(engine: FaissEngine, space: Space, data: Clustered, shares: NDArray[np.float64]) -> dict[str, Target]:
    """At each selectivity, with what passes spread over all, and lying together."""
    found: dict[str, Target] = {}
    everything = np.ones(len(data.vectors), np.bool_)
    wanted = Wanted(queries=data.queries, top_k=_BEST)
    found["recall@10 of all"] = at_least(await _share_found(engine, space, data, wanted, everything), 0.99)
    order = np.sort(data.clusters)
    for share in _SHARES:
        cluster = int(order[int(share * len(order))]) + 1
        for name, key, bound, marked in (
            ("spread", "share", share, shares < share),
            ("together", "cluster", cluster, data.clusters < cluster),
        ):
            filtered = replace(wanted, filter=Range(key, lt=bound))
            recall = await _share_found(engine, space, data, filtered, marked)
            found[f"recall@10 of {share:.1%}, {name}"] = at_least(recall, 0.99)
    return found


async def _share_found(
    engine: FaissEngine, space: Space, data: Clustered, wanted: Wanted, marked: NDArray[np.bool_]
) -> float:
    rows = np.flatnonzero(marked)
    held = data.vectors[rows]
    hits = await engine.search(space, wanted)
    right = rows[np.argpartition(-(data.queries @ held.T), _BEST, axis=1)[:, :_BEST]]
    return statistics.mean(
        len({hit.number for hit in some} & set(best)) / _BEST
        for some, best in zip(hits.of, right.tolist(), strict=True)
    )


class _Raw:
    """FAISS alone, with the very same codes and vectors, and looking as deep."""

    def __init__(self, engine: FaissEngine, space: Space) -> None:
        self._rows = engine._of(space).view.parts[0].rows
        codes = self._rows.codes
        self._index = faiss.IndexRefine(codes.index, self._rows.flat.index) if codes else self._rows.flat.index
        depth = codes.depth_for(_BEST) if isinstance(codes, Codes) else 0
        self._params = faiss.IndexRefineSearchParameters(k_factor=depth / _BEST) if codes else None  # type: ignore[call-arg]

    def search(self, queries: Matrix) -> None:
        self._index.search(queries, _BEST, params=self._params)


async def _ratios(engine: FaissEngine, space: Space, queries: Matrix) -> dict[str, Target]:
    """CPU time, both ways in turns: what else runs on the machine meets both."""
    raw = _Raw(engine, space)
    batches = [queries[start : start + 32] for start in range(0, _QUERIES, 32)]
    singles = [query[None] for query in queries]

    async def search(some: Matrix) -> None:
        await engine.search(space, Wanted(queries=some, top_k=_BEST))

    async def ours_batched() -> None:
        for batch in batches:
            await search(batch)

    async def ours_concurrent() -> None:
        for start in range(0, _QUERIES, 32):
            await asyncio.gather(*map(search, singles[start : start + 32]))

    async def ours_single() -> None:
        for single in singles:
            await search(single)

    async def raw_batched() -> None:
        for batch in batches:
            raw.search(batch)

    async def raw_single() -> None:
        for single in singles:
            raw.search(single)

    return {
        "batch of 32, share of FAISS alone": at_least(await _ratio(raw_batched, ours_batched), 0.85),
        "32 at once, share of FAISS's batch of 32": at_least(await _ratio(raw_batched, ours_concurrent), 0.55),
        "one by one, share of FAISS alone": at_least(await _ratio(raw_single, ours_single), 0.40),
    }


async def _ratio(raw: Callable[[], Awaitable[None]], ours: Callable[[], Awaitable[None]]) -> float:
    await ours()
    found = []
    for _ in range(_ROUNDS):
        cost = []
        for run in (raw, ours):
            before = time.process_time()
            await run()
            cost.append(time.process_time() - before)
        print(f"  {run.__name__}: {cost[0] / _QUERIES * 1e6:.0f} us alone, {cost[1] / _QUERIES * 1e6:.0f} us here")
        found.append(cost[0] / cost[1])
    return statistics.median(found)


async def _restart(engine: FaissEngine, space: Space, folder: Path, count: int) -> dict[str, Target]:
    began, cpu = time.perf_counter(), time.process_time()
    await engine.snapshot(space)
    print(f"snapshot: {time.perf_counter() - began:.2f} s, of the CPU {time.process_time() - cpu:.2f} s")
    size_bytes = engine.size_bytes(space)
    async with opened(folder) as other:
        began, cpu = time.perf_counter(), time.process_time()
        await other.restore(space)
        took_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu
        print(f"restored {await other.count(space)} in {took_s:.2f} s, of the CPU {cpu_s:.2f} s")
    return {
        "bytes a vector, less the vector": at_most(size_bytes / count - 4 * _DIMENSION, 512),
        "restored, CPU s": at_most(cpu_s, 3.0 * max(1.0, count / 100_000)),
    }


async def _measured(data: Clustered) -> dict[str, Target]:
    count = len(data.vectors)
    shares = np.random.default_rng(2).random(count)
    metadata = [{"share": float(s), "cluster": int(c)} for s, c in zip(shares, data.clusters, strict=True)]
    with tempfile.TemporaryDirectory() as name:
        # Also of few vectors the codes are what is measured.
        async with opened(Path(name), Sizes(exact_rows=min(Sizes().exact_rows, count // 5))) as engine:
            space = new_space(_DIMENSION)
            began, cpu = time.perf_counter(), time.process_time()
            await fill(engine, space, points_of(data.vectors, metadata=lambda n: metadata[n]))
            held = engine._of(space)
            await held.compacted()
            codes = held.view.parts[0].rows.codes
            took = f"{time.perf_counter() - began:.1f} s, of the CPU {time.process_time() - cpu:.1f} s"
            print(f"filled in {took}; depth {codes.depth if codes else 'exact'}")
            targets = await _recall(engine, space, data, shares)
            targets |= await _ratios(engine, space, data.queries)
            targets |= await _restart(engine, space, Path(name), count)
    return targets


async def _of(data: Clustered, asked: argparse.Namespace, *, rivals: int) -> dict[str, Target]:
    found: dict[str, Target] = {}
    if asked.part in ("all", "engine"):
        found |= await _measured(data)
    if asked.part in ("all", "service"):
        served = await service(data, rivals=rivals, seconds=asked.seconds, raw=_Raw)
        found |= {name: target for name, target in served.items() if not (rivals and name.startswith(SHARE))}
    return found


async def _whole(asked: argparse.Namespace) -> int:
    targets: dict[str, Target] = {}
    if asked.passages:
        data = await of_text(asked.passages, _QUERIES)
        print(f"\ntext: {asked.passages} passages")
        found = await _of(data, asked, rivals=asked.rivals)
        targets |= {f"text, {name}": target for name, target in found.items()}
    if asked.tasks:
        print(f"\nmade up: {asked.tasks} vectors")
        found = await _of(Clustered.of(asked.tasks, _DIMENSION, queries=_QUERIES), asked, rivals=0)
        targets |= {f"made up, {name}": target for name, target in found.items()}
    return report("vectors", targets)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=25_000, help="of text; 0 leaves them out")
    parser.add_argument("--tasks", type=int, default=100_000, help="made-up vectors; 0 leaves them out")
    parser.add_argument("--part", choices=("all", "engine", "service"), default="all")
    parser.add_argument("--seconds", type=int, default=60, help="of steady searching through the service")
    parser.add_argument("--rivals", type=int, default=20_000, help="passages in all three engines; 0 leaves that out")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    return asyncio.run(_whole(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
