"""Engines falsified behind everybody's back, and snapshots damaged: found, mended, passed over."""

import os
import random
import tempfile
from pathlib import Path

import numpy as np

from shared.ports.vector_engine import Point, SnapshottingEngine
from tests.chaos._vector_load import DIMENSION, KINDS, Writer
from tests.chaos._vector_place import Opened, Place, judged, vector_place
from tests.report import Target, exactly

_FALSE_EACH = 20


async def drift_and_snapshots(seed: int) -> dict[str, Target]:
    """What is falsified behind everybody's back is found and mended; what snapshots are damaged is passed over."""
    with tempfile.TemporaryDirectory(prefix="sutazai-chaos-") as folder:
        Path(folder).chmod(0o711)
        async with vector_place(Path(folder), server=True) as place:
            for at, kind in enumerate(KINDS):
                await place.create(kind.name, *kind.backends, dimension=DIMENSION)
                writer = Writer(place, kind, seed + at)
                for _ in range(8):
                    await writer.write()
            await place.caught_up(within_s=120)
            await place.service.stop()
            found = await _drifted(place, random.Random(seed))
            return found | await _damaged(place, random.Random(seed))


async def _drifted(place: Place, dice: random.Random) -> dict[str, Target]:
    false = 0
    async with place.opened() as opened:
        for kind in KINDS:
            false += await _falsified(place, opened, kind.name, dice)
    place.service.start()
    await place.service.ready()
    first = await place.sweep()
    print(f"drift: {false} false vectors, mended {[(one.backend, one.drifted, one.repaired) for one in first]}")
    second = await place.sweep()
    await place.service.stop()
    async with place.opened() as opened:
        held = [one for kind in KINDS for one in await opened.held(await place.kept(kind.name))]
    spaces = sum(len(kind.backends) for kind in KINDS)
    return {
        "falsified collections that were found": exactly(sum(one.drifted for one in first), spaces),
        "collections that differ after a sweep": exactly(sum(one.drifted for one in second), 0),
        **{f"{name} after drift": target for name, target in judged(held).items()},
    }


async def _falsified(place: Place, opened: Opened, name: str, dice: random.Random) -> int:
    """Vectors that are not there any more, that never were, and, in one engine, of a seq that there is not."""
    kept = await place.kept(name)
    numbers, seqs = await place.truth.versions(kept.id, upto_seq=kept.seq)
    false = 0
    for backend in kept.backends:
        engine, space = await opened.space(backend, kept)
        chosen = dice.sample(range(len(numbers)), _FALSE_EACH)
        gone = [_gone(int(numbers[at]), int(seqs[at])) for at in chosen]
        # A newer one than there is cannot be mended: the collection is built anew there.
        ahead = kept.seq + 1000 if backend == "qdrant" else kept.seq
        added = [_added(int(numbers.max()) + 1 + at, ahead) for at in range(_FALSE_EACH)]
        await engine.apply(space, [*gone, *added], upto_seq=kept.seq)
        if isinstance(engine, SnapshottingEngine):
            await engine.snapshot(space)
        false += len(gone) + len(added)
    return false


def _gone(number: int, seq: int) -> Point:
    return Point(number=number, vector_id=f"id {number}", seq=seq, vector=None)


def _added(number: int, seq: int) -> Point:
    return Point(number=number, vector_id=f"id {number}", seq=seq, vector=np.ones(DIMENSION, np.float32))


async def _damaged(place: Place, dice: random.Random) -> dict[str, Target]:
    """Every snapshot that there is, in one way after another, and the manifests in the end."""
    told = 0
    slowest_s = 0.0
    for damage in (_cut, _flipped, _other):
        files = [file for file in (place.settings.objects_dir / "vectors").rglob("*") if file.is_file()]
        parts = [file for file in files if file.name not in ("manifest", "manifest.json", "lease")]
        manifests = [file for file in files if file.name.startswith("manifest")]
        for file in parts if damage is not _other else manifests:
            damage(file, dice)
        before = place.service.log.read_text().count("damaged")
        place.service.start()
        slowest_s = max(slowest_s, await place.service.ready())
        await place.caught_up(within_s=60)
        told += place.service.log.read_text().count("damaged") > before
        await place.service.stop()
    async with place.opened() as opened:
        held = [one for kind in KINDS for one in await opened.held(await place.kept(kind.name))]
    print(f"snapshots: ready {slowest_s:.1f} s after a start with nothing but damaged ones")
    return {
        "kinds of damage that were told of": exactly(told, 3),
        **{f"{name} after damage": target for name, target in judged(held).items()},
    }


def _cut(file: Path, dice: random.Random) -> None:
    os.truncate(file, dice.randrange(max(1, file.stat().st_size)))


def _flipped(file: Path, dice: random.Random) -> None:
    content = bytearray(file.read_bytes())
    for _ in range(3):
        if content:
            content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    file.write_bytes(content)


def _other(file: Path, dice: random.Random) -> None:
    """As somebody else writes snapshots: what would be run, were it unpickled."""
    file.write_bytes(b"\x80\x04cos\nsystem\n(S'touch pwned'\ntR." + dice.randbytes(100))
