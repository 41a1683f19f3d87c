"""Compares an engine with the record, and repairs what differs.

Both are looked at as they were at one seq: what changed later is the applier's business, and mended here it would come
back when it has been deleted meanwhile. So nobody else applies to the space while this runs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from shared.ports.vector_engine import BUCKETS, Point, Space, VectorEngine
from shared.ports.vectors import Truth

if TYPE_CHECKING:
    from numpy.typing import NDArray

_AT_ONCE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """`differing`: of the 256 buckets; `repaired`: points. Where it was in vain, the space has to be built anew."""

    space: Space
    differing: int
    repaired: int
    is_repaired: bool


def digest_of(numbers: "NDArray[np.int64]", seqs: "NDArray[np.int64]") -> "NDArray[np.uint64]":
    """The 256 sums of `fingerprint`, as an engine gives them."""
    mixed = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + seqs.astype(np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    buckets = np.zeros(BUCKETS, np.uint64)
    np.bitwise_xor.at(buckets, numbers % BUCKETS, mixed)
    return buckets


async def reconciled(engine: VectorEngine, truth: Truth, space: Space) -> Drift:
    """Raises Unavailable, and NotFound where the engine has lost the space."""
    barrier = await engine.applied_seq(space)
    numbers, seqs = await truth.versions(space.collection_id, upto_seq=barrier)
    differs = np.array(await engine.digest(space), np.uint64) != digest_of(numbers, seqs)
    buckets = frozenset(map(int, np.flatnonzero(differs)))
    wrong = await _wrong(engine, truth, space, barrier, buckets)
    for start in range(0, len(wrong), _AT_ONCE):
        await engine.apply(space, wrong[start : start + _AT_ONCE], upto_seq=barrier)
    is_repaired = not wrong or not await _wrong(engine, truth, space, barrier, buckets)
    return Drift(space=space, differing=len(buckets), repaired=len(wrong), is_repaired=is_repaired)


async def _wrong(
    engine: VectorEngine, truth: Truth, space: Space, barrier: int, buckets: frozenset[int]
) -> list[Point]:
    """What has to be applied for these buckets to be right. Where something has changed since the barrier, an engine
    rightly holds what the record no longer does."""
    if not buckets:
        return []
    held = await _held(engine, space, buckets)
    numbers, _ = await truth.versions(space.collection_id, upto_seq=barrier)
    asked = sorted(held.keys() | {number for number in numbers.tolist() if number % BUCKETS in buckets})
    found: list[Point] = []
    for start in range(0, len(asked), _AT_ONCE):
        some = asked[start : start + _AT_ONCE]
        found += _needed(some, held, await truth.points(space.collection_id, some), barrier)
    return found


def _needed(asked: Sequence[int], held: Mapping[int, int], now: Sequence[Point], barrier: int) -> Iterator[Point]:
    known = {point.number: point for point in now}
    for number in asked:
        point = known.get(number)
        if point is None:
            # Forgotten by the record: it was deleted long ago.
            yield Point(number=number, vector_id="", seq=barrier, vector=None)
        elif point.seq <= barrier and (point.seq if point.vector is not None else None) != held.get(number):
            yield point


async def _held(engine: VectorEngine, space: Space, buckets: frozenset[int]) -> dict[int, int]:
    held: dict[int, int] = {}
    after = -1
    while points := await engine.scroll(space, after=after, limit=_AT_ONCE):
        held.update((point.number, point.seq) for point in points if point.number % BUCKETS in buckets)
        after = points[-1].number
    return held
