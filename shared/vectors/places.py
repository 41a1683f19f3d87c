"""How far an engine is with each collection, and in which epoch: of a server as the record notes it for all, of an
engine within a process as that process finds it."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from shared.errors import NotFound
from shared.ports.vector_engine import Backend, SnapshottingEngine, Space, VectorEngine
from shared.ports.vectors import Progress, Truth

logger = logging.getLogger("sutazai.vectors")

_AT_ONCE = 4


class Places(Protocol):
    """`known`: what `progress` said last, with what has been noted since."""

    @property
    def known(self) -> Mapping[UUID, Progress]: ...

    async def progress(self) -> Mapping[UUID, Progress]: ...

    async def note(self, space: Space, *, applied_seq: int, error: str | None = None) -> None: ...

    def forget(self, collection_id: UUID) -> None:
        """There is no such collection any more."""


class SharedPlaces:
    """Of a server that several processes search, and one of them fills."""

    def __init__(self, backend: Backend, truth: Truth) -> None:
        self._backend = backend
        self._truth = truth
        self.known: Mapping[UUID, Progress] = {}

    async def progress(self) -> Mapping[UUID, Progress]:
        self.known = await self._truth.progress(self._backend)
        return self.known

    async def note(self, space: Space, *, applied_seq: int, error: str | None = None) -> None:
        await self._truth.note(space, self._backend, applied_seq=applied_seq, error=error)
        self.known = {**self.known, space.collection_id: _progress(space, applied_seq, error)}

    def forget(self, collection_id: UUID) -> None:
        self.known = {known: place for known, place in self.known.items() if known != collection_id}


class OwnPlaces:
    """Of an engine that only this process has: what it holds is what the engine itself says at the start.

    Epochs are this process's own, so the record is told of none: another replica counts others.
    """

    def __init__(self, engine: VectorEngine, truth: Truth) -> None:
        self._engine = engine
        self._truth = truth
        self._found: dict[UUID, Progress] | None = None

    @property
    def known(self) -> Mapping[UUID, Progress]:
        return self._found or {}

    async def progress(self) -> Mapping[UUID, Progress]:
        if self._found is None:
            self._found = await self._held()
        return self._found

    async def note(self, space: Space, *, applied_seq: int, error: str | None = None) -> None:
        found = await self._noted()
        # What can be searched is known here also while the record cannot be told.
        found[space.collection_id] = _progress(space, applied_seq, error)
        for_all = replace(space, epoch=0)
        await self._truth.note(for_all, self._engine.backend, applied_seq=applied_seq, error=error)

    def forget(self, collection_id: UUID) -> None:
        if self._found is not None:
            self._found.pop(collection_id, None)

    async def _noted(self) -> dict[UUID, Progress]:
        await self.progress()
        assert self._found is not None
        return self._found

    async def _held(self) -> dict[UUID, Progress]:
        """Of each collection the epoch that is furthest: a newer one may be half built. Snapshots may be another
        replica's, so none of them is dropped."""
        kept = {one.id for one in await self._truth.collections() if self._engine.backend in one.backends}
        turns = asyncio.Semaphore(_AT_ONCE)

        async def held(space: Space) -> tuple[Space, int]:
            async with turns:
                return space, await self._applied(space)

        named = map(space_named, await self._engine.spaces())
        asked = [space for space in named if space is not None and space.collection_id in kept]
        # Its first failure as it is: no group of them.
        applied_to = await asyncio.gather(*map(held, asked))
        found: dict[UUID, Space] = {}
        progress: dict[UUID, Progress] = {}
        for space, applied in sorted(applied_to, key=lambda one: (one[1], one[0].epoch)):
            if (less := found.get(space.collection_id)) and not isinstance(self._engine, SnapshottingEngine):
                await self._engine.drop(less)
            found[space.collection_id] = space
            if applied:
                progress[space.collection_id] = _progress(space, applied, None)
        return progress

    async def _applied(self, space: Space) -> int:
        """From its newest whole snapshot, where it writes some; 0 where there is nothing to go on from."""
        try:
            if isinstance(self._engine, SnapshottingEngine):
                return await self._engine.restore(space)
            return await self._engine.applied_seq(space)
        except NotFound:
            return 0


def space_named(name: str) -> Space | None:
    """None for what is none of ours."""
    try:
        return Space.named(name)
    except ValueError:
        return None


def _progress(space: Space, applied_seq: int, error: str | None) -> Progress:
    return Progress(epoch=space.epoch, applied_seq=applied_seq, error=error, updated_at=datetime.now(UTC))
