"""The simulated system keeps every promise, and the simulator finds whatever breaks one."""

import pytest

from tests.simulation.bugs import PLANTED, NoExpiryAtClaim
from tests.simulation.days import STEP_BYTES
from tests.simulation.runs import RARE, Tally, broken_by, schedule_of, shrunk, tally, told
from tests.simulation.world import World

SAMPLE = 4000


@pytest.fixture(scope="module")
def sample() -> Tally:
    return tally(range(SAMPLE))


def test_a_sample_of_schedules_breaks_no_promise(sample: Tally) -> None:
    assert sample.schedules == SAMPLE
    assert sample.broken == {}, told(min(sample.broken))


def test_a_sample_of_schedules_takes_every_way_and_meets_every_fault(sample: Tally) -> None:
    _, times = sample.least()
    assert times >= SAMPLE // RARE, sample.least()


@pytest.mark.parametrize("world", PLANTED, ids=lambda world: world.__name__)
def test_a_planted_bug_is_found(world: type[World]) -> None:
    found = tally(range(10_000), world, stop_at_first=True)
    [why] = found.broken.values()
    assert why.split(":")[0] in PLANTED[world]


def test_a_seed_is_replayed_exactly() -> None:
    runs: list[list[str]] = [[], []]
    for lines in runs:
        assert broken_by(schedule_of(7), say=lines.append) is None
    assert runs[0] == runs[1] and len(runs[0]) > 50


def test_what_is_left_of_a_schedule_is_all_needed() -> None:
    [seed] = tally(range(100), NoExpiryAtClaim, stop_at_first=True).broken
    short = shrunk(schedule_of(seed), NoExpiryAtClaim)
    assert len(short) < 1 + 15 * STEP_BYTES
    assert (broken_by(short, NoExpiryAtClaim) or "").startswith("P11")
    assert broken_by(short) is None
    for at in range(1, len(short), STEP_BYTES):
        assert not (broken_by(short[:at] + short[at + STEP_BYTES :], NoExpiryAtClaim) or "").startswith("P11")
    story = told(seed, NoExpiryAtClaim)
    assert f"seed {seed}, " in story and "BROKEN P11: task" in story
