"""Spaces in the object store: each snapshot a folder of its own, and one manifest that is swapped when it is whole."""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeVar
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from shared.errors import NotFound
from shared.ports.objects import Objects
from shared.stores.faiss.lease import Lease
from shared.stores.faiss.manifest import KEPT, MOST_BYTES, Manifest, PartOf, Snapshot
from shared.stores.faiss.view import Part, View, merged
from shared.stores.faiss.written import Made, read_array, read_rows, write_array, written_rows

logger = logging.getLogger("sutazai.vectors")

T = TypeVar("T")

# Numbers, and the seqs at which they were deleted.
Deletions = tuple[NDArray[np.int64], NDArray[np.int64]]

_ROOT: Final = "vectors/"
# Copied in one go, in which no other thread runs.
_PORTION: Final = 1 << 15


@dataclass(frozen=True, slots=True)
class Restored:
    view: View
    deleted: dict[int, int]


class _Damaged(Exception):
    pass


class Snapshots:
    """Of all spaces. Only who holds a space's lease writes, for `lease_s` after its last sign of life at most."""

    lease_s: float = 120.0

    def __init__(self, objects: Objects, threads: Executor) -> None:
        self._objects = objects
        self._threads = threads

    async def spaces(self) -> set[str]:
        return {stored.key.split("/")[1] async for stored in self._objects.list(_ROOT)}

    async def drop(self, name: str) -> None:
        # The manifest first: without it, what is left is nothing.
        await self._objects.delete(_manifest(name))
        for key in [stored.key async for stored in self._objects.list(f"{_ROOT}{name}/")]:
            await self._objects.delete(key)

    async def write(self, name: str, view: View, deleted: Deletions) -> int:
        """What the newest snapshot holds everything up to, also where another one writes it now."""
        async with Lease(self._objects, f"{_ROOT}{name}/lease", seconds=self.lease_s) as lease:
            manifest, etag = await self._manifest(name)
            held = manifest.snapshots if manifest else ()
            if not lease.is_held or (held and held[0].applied_seq > view.applied_seq):
                return held[0].applied_seq if held else 0
            await self._sweep(name, held)
            snapshot = await self._written(name, view, deleted, lease)
            new = Manifest(
                dimension=view.dimension, metric=view.metric, snapshots=(snapshot, *held)[:KEPT]
            ).model_dump_json()
            await self._objects.put(_manifest(name), new.encode(), if_match=etag, if_absent=etag is None)
            await self._sweep(name, (snapshot, *held)[:KEPT])
            return snapshot.applied_seq

    async def read(self, name: str) -> Restored | None:
        """The newest that is whole."""
        manifest, _ = await self._manifest(name)
        for snapshot in manifest.snapshots if manifest else ():
            assert manifest
            try:
                parts = {part.name: await self._part(name, snapshot, part) for part in snapshot.parts}
                return await self._run(_restored, manifest, snapshot, parts)
            except (_Damaged, NotFound, ValueError, KeyError) as exc:
                logger.warning("snapshot %s of %s is damaged and passed over: %s", snapshot.folder, name, exc)
        return None

    async def _manifest(self, name: str) -> tuple[Manifest | None, str | None]:
        """One that cannot be read is as none, and is written over."""
        try:
            content, etag = await self._objects.get(_manifest(name))
        except NotFound:
            return None, None
        try:
            if len(content) > MOST_BYTES:
                raise ValueError("too long")
            return Manifest.model_validate_json(content), etag
        except (ValidationError, ValueError):
            logger.warning("the manifest of %s is damaged", name)
            return None, etag

    async def _written(self, name: str, view: View, deleted: Deletions, lease: Lease) -> Snapshot:
        folder = f"{view.applied_seq:020d}-{uuid4().hex}"
        base = view.parts[0]
        parts = []
        made = _made(view, deleted)
        while found := await self._run(_next, made):
            part, content = found
            await lease.renew()
            await self._objects.put(f"{_ROOT}{name}/{folder}/{part.name}", content, if_absent=True)
            parts.append(part)
        depth = base.rows.codes.depth if base.rows.codes else None
        return Snapshot(folder=folder, applied_seq=view.applied_seq, depth=depth, parts=tuple(parts))

    async def _part(self, name: str, snapshot: Snapshot, part: PartOf) -> bytes:
        pieces: list[bytes] = []
        size = 0
        async for piece in self._objects.read(f"{_ROOT}{name}/{snapshot.folder}/{part.name}"):
            pieces.append(piece)
            size += len(piece)
            if size > part.size_bytes:
                break
        content = b"".join(pieces)
        if size != part.size_bytes or (await self._run(_sha256, content)) != part.sha256:
            raise _Damaged(f"{part.name} is not what was written")
        return content

    async def _sweep(self, name: str, kept: tuple[Snapshot, ...]) -> None:
        """Deletes what is in no manifest: of old snapshots, and of those that were never finished."""
        folders = {snapshot.folder for snapshot in kept}
        for key in [stored.key async for stored in self._objects.list(f"{_ROOT}{name}/")]:
            place = key.split("/")
            if len(place) == 4 and place[2] not in folders:
                await self._objects.delete(key)

    async def _run(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)


def deletions(deleted: Mapping[int, int]) -> Deletions:
    numbers, seqs = np.empty((2, len(deleted)), np.int64)
    keys, values = iter(deleted.keys()), iter(deleted.values())
    for start in range(0, len(deleted), _PORTION):
        count = min(_PORTION, len(deleted) - start)
        numbers[start : start + count] = np.fromiter(islice(keys, count), np.int64, count)
        seqs[start : start + count] = np.fromiter(islice(values, count), np.int64, count)
    return numbers, seqs


def _manifest(name: str) -> str:
    return f"{_ROOT}{name}/manifest.json"


def _made(view: View, deleted: Deletions) -> Made:
    base = view.parts[0]
    yield "base-live", lambda: write_array(np.packbits(base.live))
    yield from written_rows(base.rows, "base")
    yield from written_rows(merged(view, view.parts[1:]), "delta")
    numbers, seqs = deleted
    yield "deleted-numbers", lambda: write_array(numbers)
    yield "deleted-seqs", lambda: write_array(seqs)


def _restored(manifest: Manifest, snapshot: Snapshot, parts: Mapping[str, bytes]) -> Restored:
    dimension, metric = manifest.dimension, manifest.metric
    base = read_rows(parts, "base", dimension=dimension, metric=metric, depth=snapshot.depth)
    delta = read_rows(parts, "delta", dimension=dimension, metric=metric, depth=None)
    bits = read_array(parts["base-live"], np.uint8)
    if len(bits) != -(-len(base) // 8):
        raise ValueError("marks of other rows")
    live = np.unpackbits(bits, count=len(base)).astype(np.bool_)
    if live[(places := base.places(delta.numbers))[places >= 0]].any():
        raise ValueError("numbers that are there twice")
    numbers, seqs = (read_array(parts[f"deleted-{name}"], np.int64) for name in ("numbers", "seqs"))
    if numbers.shape != seqs.shape:
        raise ValueError("deletions without a seq")
    _ = base.columns
    held = (Part(base, live, int(np.count_nonzero(live))), *((Part.whole(delta),) if len(delta) else ()))
    view = View(dimension, metric, held, snapshot.applied_seq)
    return Restored(view, dict(zip(numbers.tolist(), seqs.tolist(), strict=True)))


def _next(made: Made) -> tuple[PartOf, bytes] | None:
    """None once there is no other. Also what comes between two parts is work for a thread."""
    for name, make in made:
        content = make()
        return PartOf(name=name, sha256=_sha256(content), size_bytes=len(content)), content
    return None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
