"""FAISS as a vector engine: every space in this process's memory, and snapshots of it in the object store."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Self

from shared.errors import NotFound, Unavailable
from shared.ports.objects import Objects
from shared.ports.vector_engine import Backend, EngineHealth, Hits, Point, Space, Wanted
from shared.stores.faiss.kernels import single_threaded
from shared.stores.faiss.planner import Sizes
from shared.stores.faiss.snapshots import Snapshots, deletions
from shared.stores.faiss.space import HeldSpace

_CORES: Final = os.cpu_count() or 1


class FaissEngine:
    """What was applied is lost with the process but for what `snapshot` wrote: PostgreSQL has it.

    Searches, and changes and snapshots, each have threads: who writes much does not keep those who search waiting.
    """

    backend: Backend = "faiss"

    def __init__(self, *, objects: Objects) -> None:
        self.sizes = Sizes()
        self._searching = ThreadPoolExecutor(_CORES, thread_name_prefix="faiss", initializer=single_threaded)
        self._building = ThreadPoolExecutor(_CORES, thread_name_prefix="faiss-build", initializer=single_threaded)
        self.snapshots = Snapshots(objects, self._building)
        self._held: dict[str, HeldSpace] = {}
        self._is_open = False

    async def __aenter__(self) -> Self:
        single_threaded()
        self._is_open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_open = False
        for held in list(self._held.values()):
            await held.close()
        self._searching.shutdown(wait=False, cancel_futures=True)
        self._building.shutdown(wait=False, cancel_futures=True)

    async def ensure(self, space: Space) -> None:
        self._reached()
        if space.name not in self._held:
            self._held[space.name] = self._made(space)

    async def drop(self, space: Space) -> None:
        """With its snapshots."""
        self._reached()
        if held := self._held.pop(space.name, None):
            await held.close()
        await self.snapshots.drop(space.name)

    async def spaces(self) -> Sequence[str]:
        """Also those of which there is only a snapshot: what belongs to nobody any more is dropped by its name."""
        self._reached()
        return sorted(self._held.keys() | await self.snapshots.spaces())

    async def apply(self, space: Space, points: Sequence[Point], *, upto_seq: int) -> None:
        await self._of(space).apply(points, upto_seq=upto_seq)

    async def applied_seq(self, space: Space) -> int:
        return self._of(space).view.applied_seq

    async def search(self, space: Space, wanted: Wanted) -> Hits:
        return await self._of(space).search(wanted)

    async def scroll(self, space: Space, *, after: int = -1, limit: int = 1000) -> Sequence[Point]:
        return self._of(space).view.after(after, limit)

    async def count(self, space: Space) -> int:
        return self._of(space).view.count

    async def digest(self, space: Space) -> Sequence[int]:
        held = self._of(space)
        return await held.run(held.view.digest)

    async def forget(self, space: Space, *, upto_seq: int) -> None:
        await self._of(space).forget(upto_seq)

    async def health(self) -> EngineHealth:
        if not self._is_open:
            return EngineHealth(status="down", detail="closed")
        size_bytes = sum(held.view.size_bytes for held in self._held.values())
        return EngineHealth(status="ok", detail=f"{len(self._held)} spaces, {size_bytes >> 20} MiB")

    async def snapshot(self, space: Space) -> int:
        """One at a time by a lease among all processes: where another one writes, what it has written last."""
        held = self._of(space)
        async with held.changing:
            view, deleted = held.view, await held.run(deletions, held.deleted)
        return await self.snapshots.write(space.name, view, deleted)

    async def restore(self, space: Space) -> int:
        """A space that is further than its snapshot stays as it is."""
        self._reached()
        found = await self.snapshots.read(space.name)
        if found is None:
            return 0
        held = self._held.get(space.name)
        if held is None or held.view.applied_seq < found.view.applied_seq:
            as_written = Space(
                collection_id=space.collection_id,
                epoch=space.epoch,
                dimension=found.view.dimension,
                metric=found.view.metric,
            )
            held = self._made(as_written)
            held.view, held.deleted = found.view, found.deleted
            self._held[space.name] = held
            # What was not built into the base when it was written.
            held.compact_when_due()
        return held.view.applied_seq

    def size_bytes(self, space: Space) -> int:
        """What its vectors, and all that belongs to them, take in memory. Raises NotFound."""
        return self._of(space).view.size_bytes

    async def settled(self, space: Space) -> None:
        """Once no base is being built."""
        await self._of(space).settled()

    def _made(self, space: Space) -> HeldSpace:
        return HeldSpace(space, self._searching, self._building, self.sizes, parallel=_CORES)

    def _of(self, space: Space) -> HeldSpace:
        self._reached()
        held = self._held.get(space.name)
        if held is None:
            raise NotFound(f"no space {space.name!r}")
        return held

    def _reached(self) -> None:
        if not self._is_open:
            raise Unavailable("FAISS is closed")
