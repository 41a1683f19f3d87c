"""A short sample of what `make chaos C=vectors` does to the vector service, its engines and its snapshots."""

import asyncio

from tests.chaos._vector_damage import drift_and_snapshots
from tests.chaos._vector_kills import kills
from tests.report import Target

# On a machine that others use too they say nothing: these are looked at by `make chaos`.
_TIMES = ("failover ms", "s until engines are at the record")


def _broken(targets: dict[str, Target]) -> dict[str, float]:
    return {name: target.value for name, target in targets.items() if name not in _TIMES and not target.holds}


def test_what_is_acknowledged_outlives_the_ends_of_engines_and_service() -> None:
    assert _broken(asyncio.run(asyncio.wait_for(kills(1, 3, server=True), 170))) == {}


def test_what_is_falsified_is_mended_and_damaged_snapshots_are_passed_over() -> None:
    assert _broken(asyncio.run(asyncio.wait_for(drift_and_snapshots(1), 170))) == {}
