"""The vector service and Chroma's server, killed under writers and searchers, and what is left then."""

import asyncio
import random
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.chaos._vector_load import DIMENSION, KINDS, Asked, Searchers, Writer
from tests.chaos._vector_place import Place, judged, vector_place
from tests.report import Target, at_least, at_most, exactly

FAILOVER_MS, ERRORS, EQUAL_S = 500.0, 0.01, 10.0
# Whichever of them is there.
WEIGHTS = {"service": 4, "saving": 2, "chroma": 5}
_BETWEEN_S = (0.5, 4.0)
_SEARCHERS, _SEARCH_EVERY_S = 2, 0.02
# So long after a kill searches are looked at for what it has done to them.
_AFTER_S = 2.0


@dataclass(frozen=True)
class Strike:
    at: float
    role: str


async def kills(seed: int, count: int, *, server: bool) -> dict[str, Target]:
    """The service and Chroma's server, at any moment of what they do, under writers and searchers."""
    with tempfile.TemporaryDirectory(prefix="sutazai-chaos-") as folder:
        Path(folder).chmod(0o711)
        async with vector_place(Path(folder), server=server) as place:
            for kind in KINDS:
                await place.create(kind.name, *kind.backends, dimension=DIMENSION)
            writers = [Writer(place, kind, seed + at) for at, kind in enumerate(KINDS)]
            searchers = Searchers(place, seed)
            strikes = await _struck(place, writers, searchers, seed, count)
            behind = [(one.backend, one.status, one.lag_seq) for one in await place.engines()]
            equal_s = await place.caught_up(within_s=120)
            drifted = sum(state.drifted for state in await place.sweep())
            lost, risen = await _against_record(place, writers)
            await place.service.stop()
            async with place.opened() as opened:
                held = [one for kind in KINDS for one in await opened.held(await place.kept(kind.name))]
    roles = Counter(strike.role for strike in strikes)
    failovers = [_failover_ms(strike, searchers.asked) for strike in strikes]
    usual = sorted(asked.ended - asked.began for asked in searchers.asked)
    failed = sum(asked.backend is None for asked in searchers.asked)
    answered = Counter(str(asked.backend) for asked in searchers.asked)
    print(
        f"seed {seed}, Chroma {'at its server' if server else 'within'}: {dict(roles)}; searches {dict(answered)};"
        f" acknowledged {sum(writer.acknowledged for writer in writers)} changes; equal after {equal_s:.1f} s,"
        f" from {behind}; failovers in ms: {sorted(map(round, failovers))},"
        f" searches {usual[len(usual) // 2] * 1000:.0f} in the median",
        flush=True,
    )
    return {
        "kills": at_least(len(strikes), count),
        "failover ms": at_most(max(failovers, default=0.0), FAILOVER_MS),
        "share of searches that failed": at_most(failed / max(len(searchers.asked), 1), ERRORS),
        "answers of others that do not say so": exactly(searchers.silent, 0),
        "s until engines are at the record": at_most(equal_s, EQUAL_S),
        "collections that differ after kills": exactly(drifted, 0),
        "acknowledged and not in the record": exactly(lost, 0),
        "deleted and in the record": exactly(risen, 0),
        **judged(held),
    }


async def _struck(place: Place, writers: Sequence[Writer], searchers: Searchers, seed: int, count: int) -> list[Strike]:
    dice, stopping = random.Random(seed), asyncio.Event()
    for writer in writers:
        await writer.write()
    await place.caught_up(within_s=60)
    strikes: list[Strike] = []
    async with asyncio.TaskGroup() as group:
        for writer in writers:
            group.create_task(writer.run(stopping))
        for number in range(_SEARCHERS):
            group.create_task(searchers.run(stopping, number, every_s=_SEARCH_EVERY_S))
        try:
            while len(strikes) < count:
                strikes.append(await _strike(place, dice))
        finally:
            stopping.set()
    for process in filter(None, (place.chroma, place.service)):
        await process.ready()
    return strikes


async def _strike(place: Place, dice: random.Random) -> Strike:
    roles = {role: weight for role, weight in WEIGHTS.items() if role != "chroma" or place.chroma}
    [role] = dice.choices(list(roles), list(roles.values()))
    struck = place.chroma if role == "chroma" else place.service
    assert struck is not None
    # Mostly at work, now and then while it comes up.
    if dice.random() < 0.8:
        await struck.ready()
    await asyncio.sleep(dice.uniform(*_BETWEEN_S))
    strike = Strike(time.monotonic(), role)
    if role == "saving":
        await struck.killed_while_it_ends(dice.uniform(0.0, 0.4))
    else:
        struck.kill()
    if role == "chroma":
        await asyncio.sleep(dice.uniform(0.0, 2.0))
    struck.start()
    return strike


def _failover_ms(strike: Strike, asked: Sequence[Asked]) -> float:
    """The longest that a search which it could concern has waited for its answer, from then on; failed ones have waited
    for the first that did not."""
    concerned = [
        one
        for one in asked
        if one.ended >= strike.at
        and one.began <= strike.at + _AFTER_S
        and (strike.role != "chroma" or one.wanted == "chroma")
    ]
    worst_s = 0.0
    for at, one in enumerate(concerned):
        answered = next((later for later in concerned[at:] if later.backend is not None), None)
        ended = answered.ended if answered else strike.at + _AFTER_S
        worst_s = max(worst_s, ended - max(one.began, strike.at))
    return worst_s * 1000


async def _against_record(place: Place, writers: Sequence[Writer]) -> tuple[int, int]:
    """How many the record lacks, or has in another form, that were acknowledged, and has though they were deleted."""
    lost = risen = 0
    for writer in writers:
        kept = await place.kept(writer.kind.name)
        points = await place.vectors.changes(kept, after=0, deleted_after=kept.seq, limit=1_000_000)
        there = {point.vector_id: point.vector for point in points}
        for one, vector in writer.held.items():
            found = there.pop(one, None)
            if vector is None:
                risen += found is not None
            else:
                lost += found is None or not np.array_equal(found, vector)
        risen += len(there)
    return lost, risen
