"""What schedules seldom come to: last moments, long queues, and each act in each state."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

from shared.task_states import State
from tests.simulation.acts import Kept, Seen
from tests.simulation.record import SECOND, Asked

MINUTE = 60 * SECOND
_ASKED = Asked(user=0, ttl=MINUTE)

Corner = Callable[[Kept, Seen], None]


def nothing_starts_at_its_last_moment(record: Kept, seen: Seen) -> None:
    record.accept([_ASKED])
    record.now = MINUTE
    assert record.claim(record.join(), 0, (0,), 1) == []
    assert record.expire() == 1


def what_is_lost_at_its_last_moment_has_expired(record: Kept, seen: Seen) -> None:
    record.accept([_ASKED])
    worker = record.join()
    record.claim(worker, 0, (0,), 1)
    record.now = MINUTE
    record.bury(worker)
    assert seen.rows()[0].status == "expired"


def a_back_off_is_over_in_its_last_moment(record: Kept, seen: Seen) -> None:
    record.accept([_ASKED])
    [one] = record.claim(record.join(), 0, (0,), 1)
    record.finish(one, "failed", error="SERVICE_UNAVAILABLE", back_off=SECOND)
    record.now = SECOND - 1
    assert record.make_due() == set()
    record.now = SECOND
    assert record.make_due() == {0}
    assert (seen.rows()[0].rank, seen.rows()[0].due_at) == (SECOND - 4 * 300 * SECOND, None)


def a_task_in_back_off_expires(record: Kept, seen: Seen) -> None:
    record.accept([_ASKED])
    [one] = record.claim(record.join(), 0, (0,), 1)
    record.finish(one, "failed", error="SERVICE_UNAVAILABLE", back_off=2 * MINUTE)
    record.now = MINUTE
    assert record.expire() == 1
    row = seen.rows()[0]
    assert (row.status, row.rank, row.due_at, row.finished_at) == ("expired", None, None, MINUTE)


def a_task_in_back_off_is_cancelled(record: Kept, seen: Seen) -> None:
    record.accept([_ASKED])
    [one] = record.claim(record.join(), 0, (0,), 1)
    record.finish(one, "failed", error="SERVICE_UNAVAILABLE", back_off=2 * MINUTE)
    assert record.cancel(0, 0) is True
    row = seen.rows()[0]
    assert (row.status, row.rank, row.due_at, row.finished_at) == ("cancelled", None, None, 0)


def what_a_caller_waits_for_ends_with_its_worker(record: Kept, seen: Seen) -> None:
    for farewell in (record.leave, record.bury):
        worker = record.join()
        one = record.attach(worker, _ASKED)
        assert one is not None
        farewell(worker)
        row = seen.rows()[one.task]
        assert (row.status, row.error, row.attempt, row.worker) == ("failed", "CALLER_LOST", 1, None)


def who_is_silent_for_just_three_seconds_lives(record: Kept, seen: Seen) -> None:
    record.accept([_ASKED])
    worker = record.join()
    record.claim(worker, 0, (0,), 1)
    record.now = 3 * SECOND
    assert record.reap() == set()
    record.now += 1
    assert record.reap() == {0}


def what_was_claimed_since_the_last_beat_is_not_forgotten(record: Kept, seen: Seen) -> None:
    record.accept([_ASKED])
    worker = record.join()
    record.claim(worker, 0, (0,), 1)
    for now, losses in ((0, 0), (SECOND, 0), (2 * SECOND, 1)):
        record.now = now
        assert record.beat(worker, []) == []
        assert [row.losses for row in seen.rows().values()] == [losses]


def what_is_held_under_an_old_fence_is_forgotten(record: Kept, seen: Seen) -> None:
    """Its worker was given it twice, and the second answer was lost."""
    record.accept([_ASKED])
    worker = record.join()
    [old] = record.claim(worker, 0, (0,), 1)
    record.finish(old, "failed", error="SERVICE_UNAVAILABLE", back_off=SECOND)
    record.now = SECOND
    record.make_due()
    record.claim(worker, 0, (0,), 1)
    for now in (2 * SECOND, 3 * SECOND):
        record.now = now
        assert record.beat(worker, [old]) == [0]
    assert (seen.rows()[0].status, seen.rows()[0].losses) == ("queued", 1)


def five_losses_end_it_and_four_do_not(record: Kept, seen: Seen) -> None:
    record.accept([_ASKED])
    for losses in range(1, 6):
        worker = record.join()
        record.claim(worker, 0, (0,), 1)
        record.bury(worker)
        row = seen.rows()[0]
        assert (row.losses, row.status) == (losses, "failed" if losses == 5 else "queued")
    assert (row.error, row.attempt, row.version) == ("WORKER_LOST", 1, 11)


def what_was_lost_waits_where_it_has_no_room_and_holds_up_nothing(record: Kept, seen: Seen) -> None:
    record.accept([_ASKED, _ASKED])
    worker = record.join()
    record.claim(worker, 0, (0,), 1)
    record.bury(worker)
    worker = record.join()
    assert [one.task for one in record.claim(worker, 0, (0,), 2, lost=False)] == [1]
    assert [(one.task, one.losses) for one in record.claim(worker, 0, (0,), 2)] == [(0, 1)]


CORNERS: tuple[Corner, ...] = (
    nothing_starts_at_its_last_moment,
    what_is_lost_at_its_last_moment_has_expired,
    a_back_off_is_over_in_its_last_moment,
    a_task_in_back_off_expires,
    a_task_in_back_off_is_cancelled,
    what_a_caller_waits_for_ends_with_its_worker,
    who_is_silent_for_just_three_seconds_lives,
    what_was_claimed_since_the_last_beat_is_not_forgotten,
    what_is_held_under_an_old_fence_is_forgotten,
    five_losses_end_it_and_four_do_not,
    what_was_lost_waits_where_it_has_no_room_and_holds_up_nothing,
)

# --- the acts as a table --------------------------------------------------------------------------------------------

_NEW = State("queued", 4, 3, created_at=0, expires_at=MINUTE, rank=0)
_STATES = {
    "queued": _NEW,
    "in back-off": _NEW._replace(rank=None, due_at=1, attempt=1),
    "asking": _NEW._replace(rank=None),
    "running": _NEW._replace(status="running", started_at=0, attempt=1, fence=1, worker=1),
    "attached": _NEW._replace(status="running", attached=True, started_at=0, attempt=1, fence=1, worker=1),
    "succeeded": _NEW._replace(status="succeeded", rank=None, finished_at=1, fence=1),
    "failed": _NEW._replace(status="failed", rank=None, finished_at=1, fence=1),
    "cancelled": _NEW._replace(status="cancelled", rank=None, finished_at=1, fence=1),
    "expired": _NEW._replace(status="expired", rank=None, finished_at=1, fence=1),
}
_NEXT: dict[str, dict[str, str]] = {
    "claim": {"queued": "running"},
    "finish": {"running": "succeeded", "attached": "succeeded"},
    "put off": {"running": "queued", "attached": "queued"},
    "ask": {"running": "queued", "attached": "queued"},
    "go on": {"asking": "queued"},
    "cancel": dict.fromkeys(("queued", "in back-off", "asking", "running", "attached"), "cancelled"),
    "expire": dict.fromkeys(("queued", "in back-off", "asking"), "expired"),
    "make due": {"in back-off": "queued"},
    "take back": {"running": "queued", "attached": "failed"},
}


def acts_follow_the_table(states: ModuleType | Any) -> None:
    acts: dict[str, Callable[[State], State | None]] = {
        "claim": lambda task: states.claim(task, 2, 7),
        "finish": lambda task: states.finish(task, 2, 1, "succeeded"),
        "put off": lambda task: states.finish(task, 2, 1, "failed", error="E", back_off=5),
        "ask": lambda task: states.ask(task, 1, error="E"),
        "go on": lambda task: states.go_on(task, 2),
        "cancel": lambda task: states.cancel(task, 2),
        "expire": lambda task: states.expire(task, MINUTE),
        "make due": lambda task: states.make_due(task, 2),
        "take back": lambda task: states.take_back(task, 2),
    }
    for name, act in acts.items():
        found = {state: new.status for state, task in _STATES.items() if (new := act(task)) is not None}
        assert found == _NEXT[name], name
    for fence in (0, 2):
        assert states.finish(_STATES["running"], 2, fence, "succeeded") is None
        assert states.ask(_STATES["running"], fence, error="E") is None


def a_deep_queue_costs_no_more(states: ModuleType | Any) -> None:
    ranks = [
        states.accept(0, priority=1, max_attempts=1, ttl=1, ahead=ahead).rank for ahead in (0, 1, 9_999, 10_000, 10_001)
    ]
    assert ranks == [wait - 300_000_000 for wait in (0, 20_000, 199_980_000, 200_000_000, 200_000_000)]


def a_loss_costs_neither_attempt_nor_rank(states: ModuleType | Any) -> None:
    """Nor does it say what an earlier attempt has met."""
    running = _STATES["running"]._replace(rank=5, attempt=2, error="SERVICE_UNAVAILABLE")
    lost = states.take_back(running, 2)
    assert lost == running._replace(status="queued", attempt=1, losses=1, version=2, worker=None, error=None)
    expired = states.take_back(running, MINUTE)
    assert expired == running._replace(
        status="expired", losses=1, version=2, worker=None, error=None, finished_at=MINUTE
    )


TABLE: tuple[Callable[[ModuleType | Any], None], ...] = (
    acts_follow_the_table,
    a_deep_queue_costs_no_more,
    a_loss_costs_neither_attempt_nor_rank,
)
