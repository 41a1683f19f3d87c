"""The states of a task, and what moves it from one to another: the acts of `queue_sql` on one row, as pure functions.

| state | act | next |
| --- | --- | --- |
| none | `accept` | queued, claimable |
| none | `attach` | running, for a caller who waits |
| none | `record` | succeeded or failed: what ran for a caller who waits, and only read |
| queued, claimable, in time | `claim` | running; the fence rises, an attempt begins |
| queued, its time to start over | `expire` | expired |
| queued, in back-off that is over | `make_due` | queued, claimable |
| queued, running | `cancel` | cancelled |
| running under the same fence | `finish` | succeeded or failed |
| running under the same fence, attempts left | `finish` with a back-off | queued, in back-off |
| running under the same fence | `ask` | queued, until its client has answered |
| queued, all answered | `go_on` | queued, claimable |
| running, its worker gone | `take_back` | queued at its old rank, or expired; failed if attached or lost five times |

Every act gives the next state, or None where it does not apply. Succeeded, failed, cancelled and expired are final.
Times are microseconds of the record's clock, the only one that decides.
"""

from typing import Literal, NamedTuple

from shared.ports.tasks import Status

# A step of priority is worth so much waiting, and each own task that waits already costs so much, up to a depth.
PRIORITY_STEP_S = 300
FAIRNESS_STEP_MS = 20
FAIRNESS_DEPTH = 10_000
# Under which so many workers were lost, that is not the workers' fault.
MOST_LOSSES = 5

MOVES: frozenset[tuple[Status | None, Status]] = frozenset(
    {
        (None, "queued"),
        (None, "running"),
        (None, "succeeded"),
        (None, "failed"),
        ("queued", "running"),
        ("queued", "cancelled"),
        ("queued", "expired"),
        ("running", "queued"),
        ("running", "succeeded"),
        ("running", "failed"),
        ("running", "cancelled"),
        ("running", "expired"),
    }
)

Ran = Literal["succeeded", "failed"]


class State(NamedTuple):
    """What the record knows of a task, but for who asked for what. `worker`: who held it last."""

    status: Status
    priority: int
    max_attempts: int
    created_at: int
    expires_at: int
    # What is claimed first; None in back-off, which alone has a `due_at`, its end, and while the client is asked.
    rank: int | None = None
    due_at: int | None = None
    started_at: int | None = None
    finished_at: int | None = None
    attempt: int = 0
    losses: int = 0
    # Rises with every claim: whoever comes with an older one writes nothing.
    fence: int = 0
    # Counts the states: the `sequence` of their events.
    version: int = 1
    worker: int | None = None
    attached: bool = False
    # A code, of the last attempt.
    error: str | None = None


def accept(now: int, *, priority: int, max_attempts: int, ttl: int, ahead: int) -> State:
    """`ahead`: how many tasks of the same user wait already."""
    rank = now - priority * PRIORITY_STEP_S * 1_000_000 + min(ahead, FAIRNESS_DEPTH) * FAIRNESS_STEP_MS * 1_000
    return State("queued", priority, max_attempts, created_at=now, expires_at=now + ttl, rank=rank)


def attach(now: int, worker: int, *, priority: int, ttl: int) -> State:
    """It has one attempt, which begins at once."""
    new = State("running", priority, 1, created_at=now, expires_at=now + ttl, attached=True)
    return new._replace(started_at=now, attempt=1, fence=1, worker=worker)


def record(now: int, status: Ran, *, took: int, error: str | None = None) -> State:
    new = State(status, 4, 1, created_at=now - took, expires_at=now, attached=True, error=error)
    return new._replace(started_at=now - took, finished_at=now, attempt=1)


def claim(task: State, now: int, worker: int) -> State | None:
    if task.status != "queued" or task.rank is None or task.expires_at <= now:
        return None
    return task._replace(
        status="running",
        worker=worker,
        fence=task.fence + 1,
        attempt=task.attempt + 1,
        version=task.version + 1,
        started_at=max(now, task.created_at),
    )


def finish(
    task: State, now: int, fence: int, status: Ran, *, error: str | None = None, back_off: int | None = None
) -> State | None:
    """With `back_off`, another attempt follows where one is left."""
    if task.status != "running" or task.fence != fence:
        return None
    if back_off is not None and task.attempt < task.max_attempts:
        waiting = task._replace(status="queued", rank=None, due_at=now + back_off, worker=None)
        return waiting._replace(version=task.version + 1, error=error)
    return _ended(task, now, status)._replace(rank=None, error=error)


def ask(task: State, fence: int, *, error: str) -> State | None:
    """The attempt is given back: it neither failed nor ended."""
    if task.status != "running" or task.fence != fence:
        return None
    waiting = task._replace(status="queued", rank=None, due_at=None, worker=None, error=error)
    return waiting._replace(attempt=task.attempt - 1, version=task.version + 1)


def go_on(task: State, now: int) -> State | None:
    if task.status != "queued" or task.rank is not None or task.due_at is not None:
        return None
    return task._replace(rank=now - task.priority * PRIORITY_STEP_S * 1_000_000)


def cancel(task: State, now: int) -> State | None:
    if task.status not in ("queued", "running"):
        return None
    return _ended(task, now, "cancelled")._replace(rank=None, due_at=None)


def expire(task: State, now: int) -> State | None:
    if task.status != "queued" or task.expires_at > now:
        return None
    return _ended(task, now, "expired")._replace(rank=None, due_at=None)


def make_due(task: State, now: int) -> State | None:
    if task.due_at is None or task.due_at > now:
        return None
    return task._replace(rank=now - task.priority * PRIORITY_STEP_S * 1_000_000, due_at=None)


def take_back(task: State, now: int, *, losses: int = 1) -> State | None:
    """The attempt is given back. A worker that leaves in good order costs no loss."""
    if task.status != "running":
        return None
    lost = task._replace(losses=task.losses + losses, worker=None)
    if task.attached:
        return _ended(lost, now, "failed")._replace(error="CALLER_LOST")
    if lost.losses >= MOST_LOSSES:
        return _ended(lost, now, "failed")._replace(error="WORKER_LOST")
    if task.expires_at <= now:
        return _ended(lost, now, "expired")._replace(error=None)
    return lost._replace(status="queued", attempt=task.attempt - 1, version=task.version + 1, error=None)


def _ended(task: State, now: int, status: Status) -> State:
    # A transaction's time is that of its beginning, which may be before the one whose row it had to wait for.
    finished_at = max(now, task.created_at, task.started_at or task.created_at)
    return task._replace(status=status, finished_at=finished_at, version=task.version + 1)
