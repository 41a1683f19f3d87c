"""Short samples of storm, sweep and poison, and what decides where they strike."""

import asyncio
from pathlib import Path

import pytest

from tests.chaos import storm
from tests.chaos._seeds import keep_worst, schedule
from tests.chaos._strace import Point, points_of, strace
from tests.chaos.poison import poison
from tests.chaos.sweep import chosen, sweep
from tests.report import Target, at_least, at_most, unsupported

# On a machine that others use too they say nothing: these are looked at by `make chaos`.
_TIMES = ("seconds from last kill to all ended",)


def _broken(targets: dict[str, Target]) -> dict[str, float]:
    return {name: target.value for name, target in targets.items() if name not in _TIMES and not target.holds}


def test_what_is_accepted_while_any_role_is_killed_ends_once() -> None:
    targets = asyncio.run(asyncio.wait_for(storm.run([1], tasks=150, seconds=20), 170))
    assert _broken(targets) == {}


def test_a_process_that_ends_at_any_system_call_breaks_no_promise() -> None:
    if strace() is None:
        assert unsupported("chaos-sweep", "strace is not installed") == 0
        pytest.skip("strace is not installed")
    found = asyncio.run(asyncio.wait_for(sweep(["accept", "finish", "refresh"], most=15, seeds=[3], seconds=100), 170))
    assert found.violations == []
    assert dict(found.points) == {"accept": 5, "finish": 5, "refresh": 5}


def test_poison_ends_as_a_failure_and_burns_no_neighbour() -> None:
    targets = asyncio.run(asyncio.wait_for(poison(neighbours=40, each=1), 170))
    assert _broken(targets) == {}


def test_a_seed_decides_the_faults() -> None:
    weights = {"worker": 3, "broker": 1}
    once, again = [schedule(7, 60, weights, every_s=(0.5, 2)) for _ in range(2)]
    assert once == again != schedule(8, 60, weights, every_s=(0.5, 2))
    assert {fault.role for fault in once} == {"worker", "broker"}
    assert all(0 < fault.at_s < 60 for fault in once)
    assert [fault.at_s for fault in once] == sorted(fault.at_s for fault in once)


def test_the_worst_seed_counts() -> None:
    worst: dict[str, Target] = {}
    for accepted, over_s in ((9, 4), (7, 2), (8, 6)):
        keep_worst(worst, {"accepted": at_least(accepted, 1), "over": at_most(over_s, 5)})
    assert worst == {"accepted": at_least(7, 1), "over": at_most(6, 5)}


def test_crash_points_are_counted_by_thread_and_call() -> None:
    log = (
        "10 sendto(5, x, 1) = 1\n"
        "10 epoll_wait(3,  <unfinished ...>\n"
        "11 sendto(6, y, 1) = 1\n"
        "10 <... epoll_wait resumed>) = 1\n"
        "10 sendto(5, z, 1) = 1\n"
        "10 +++ exited with 0 +++\n"
    )
    assert points_of(log) == (Point("sendto", 1), Point("epoll_wait", 1), Point("sendto", 2))


def test_a_sample_of_crash_points_spans_them_all() -> None:
    points = [Point("sendto", number) for number in range(1, 101)]
    assert chosen(points, 200, 0) == points
    sample = chosen(points, 10, 0)
    assert len(set(sample)) == 10 and sample[0].number <= 10 and sample[-1].number > 90
    assert sample == chosen(points, 10, 0) != chosen(points, 10, 1)


def test_a_missing_means_fails_where_all_must_be_real(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SUTAZAI_REQUIRE_REAL", raising=False)
    assert unsupported("chaos-disk", "no root") == 0
    monkeypatch.setenv("SUTAZAI_REQUIRE_REAL", "1")
    assert unsupported("chaos-disk", "no root") == 1
    assert capsys.readouterr().out == 'RESULT {"name": "chaos-disk", "unsupported": "no root"}\n' * 2


def test_every_chaos_has_a_name_that_make_knows() -> None:
    here = Path(__file__).parent
    named = {path.stem for path in here.glob("[a-z]*.py") if "def main()" in path.read_text()}
    assert {"storm", "sweep", "rivals", "poison", "zombie", "expiry", "redis", "broker_wipe"} <= named
    assert {"overload", "rolling", "clock", "partition", "disk", "descriptors"} <= named
