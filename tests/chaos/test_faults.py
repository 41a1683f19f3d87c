"""Short samples of the faults, and what decides where they strike."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos import storm
from tests.chaos._seeds import Asked, asked, keep_worst, schedule
from tests.chaos._strace import Point, points_of, strace, was_struck
from tests.chaos.bindings import bindings
from tests.chaos.confirms import confirms
from tests.chaos.partition import partition
from tests.chaos.poison import poison
from tests.chaos.redelivery import redelivery
from tests.chaos.rolling import rolling
from tests.chaos.sweep import chosen, sweep
from tests.chaos.versions import versions
from tests.report import Target, at_least, at_most, unsupported

# On a machine that others use too they say nothing: these are looked at by `make chaos`.
_TIMES = ("seconds from last kill to all ended", "seconds from the end to all ended")


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
    # Of one run and the next, a call or two may be made in another order.
    assert all(found.points[act] >= 3 for act in ("accept", "finish", "refresh"))
    assert dict(found.points + found.missed) == {"accept": 5, "finish": 5, "refresh": 5}


def test_poison_ends_as_a_failure_and_burns_no_neighbour() -> None:
    targets = asyncio.run(asyncio.wait_for(poison(neighbours=40, each=1), 170))
    assert _broken(targets) == {}


def test_a_partition_loses_nothing() -> None:
    # The record's link becomes a hole.
    targets = asyncio.run(asyncio.wait_for(partition(seed=55, count=1), 170))
    assert _broken(targets) == {}


def test_what_loses_its_confirm_is_published_again_and_done_once() -> None:
    targets = asyncio.run(asyncio.wait_for(confirms(seed=1, count=6), 170))
    assert _broken(targets) == {}


def test_wake_ups_that_come_five_times_at_once_leave_one_effect() -> None:
    targets = asyncio.run(asyncio.wait_for(redelivery(seed=1, count=20), 170))
    assert _broken(targets) == {}


def test_a_restart_in_good_order_takes_no_task_and_fails_no_call_twice() -> None:
    targets = asyncio.run(asyncio.wait_for(rolling([1], ("worker", "gateway")), 170))
    assert _broken(targets) == {}


def test_a_topology_that_is_otherwise_is_told_and_loses_nothing() -> None:
    targets = asyncio.run(asyncio.wait_for(bindings(), 170))
    assert _broken(targets) == {}


def test_two_versions_share_the_work_and_lose_nothing() -> None:
    targets = asyncio.run(asyncio.wait_for(versions(tasks=40, roles=("worker",)), 170))
    assert _broken(targets) == {}


def test_a_bound_on_the_time_leaves_out_seeds_and_never_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    unbounded = Asked(tasks=0, seeds=range(3, 6), minutes=0.0, bounded=False)
    assert list(unbounded.turns()) == [3, 4, 5]
    assert list(replace(unbounded, bounded=True).turns()) == [3]
    assert "no time for seed 4" in capsys.readouterr().out


def test_what_a_command_makes_nothing_of_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["chaos", "--tasks", "9"])
    assert asked(None, tasks=5).tasks == 9
    with pytest.raises(SystemExit):
        asked(None, seeds=5, minutes=4)


def test_a_point_counts_where_the_process_was_killed_at_it() -> None:
    assert was_struck("10 sendto(5, x, 1) = ?\n10 +++ killed by SIGKILL +++\n")
    assert not was_struck("10 sendto(5, x, 1) = 1\n10 +++ exited with 0 +++\n")


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
    assert {"confirms", "redelivery", "bindings", "versions"} <= named
