"""Compares an engine's copy with the record, and repairs what differs.

Both are looked at as they were at one seq. What has changed later is the follower's business: an engine rightly holds
what the record no longer does. So nobody else applies to the generation while this runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.ports.graph import Facts, Generation, GraphEngine, Sum

_AT_ONCE = 500
_NOTHING = Sum(0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """`differing`: of the 256 buckets; `repaired`: stars. Where it was in vain, the graph has to be built anew."""

    generation: int
    differing: int
    repaired: int
    is_repaired: bool


async def reconciled(engine: GraphEngine, facts: Facts, at: Generation) -> Drift:
    """Raises Unavailable, and NotFound where the engine has lost the generation."""
    buckets = await _differing(engine, facts, at)
    wrong = await _wrong(engine, facts, at, buckets)
    for start in range(0, len(wrong), _AT_ONCE):
        await _repair(engine, facts, at, wrong[start : start + _AT_ONCE])
    is_repaired = not wrong or not await _wrong(engine, facts, at, buckets)
    return Drift(generation=at.number, differing=len(buckets), repaired=len(wrong), is_repaired=is_repaired)


async def _differing(engine: GraphEngine, facts: Facts, at: Generation) -> list[int]:
    held, wanted = await engine.sums(at.number), await facts.sums(upto_seq=at.applied_seq)
    keys = held.keys() | wanted.keys()
    return sorted(key for key in keys if held.get(key, _NOTHING) != wanted.get(key, _NOTHING))


async def _wrong(engine: GraphEngine, facts: Facts, at: Generation, buckets: Sequence[int]) -> list[int]:
    if not buckets:
        return []
    held, wanted = await engine.sums_of(at.number, buckets), await facts.sums_of(buckets)
    wrong = [number for number in held if number not in wanted]
    for number, (seq, expected) in wanted.items():
        if seq <= at.applied_seq and held.get(number, _NOTHING) != expected:
            wrong.append(number)
    return sorted(wrong)


async def _repair(engine: GraphEngine, facts: Facts, at: Generation, numbers: Sequence[int]) -> None:
    """Taken away whole, then put back: a copy that has been tampered with may have edges where none are looked for."""
    await engine.forget(at.number, numbers)
    kept = [star for star in await facts.stars(numbers) if star.seq <= at.applied_seq]
    await engine.apply(at.number, kept, after_seq=at.applied_seq, upto_seq=at.applied_seq)
