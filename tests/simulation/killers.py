"""What mutants have to survive, and those that may since they change nothing."""

import asyncio
import signal
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any
from unittest.mock import patch

from functions.keeper import keep
from shared import task_states
from shared.dialogue import Questions
from shared.errors import Unavailable
from shared.ports.tasks import Outcome, TaskError
from shared.stores.postgres import questions_sql
from shared.stores.postgres import queue_sql as sql
from shared.stores.postgres.database import Alone, connect
from shared.task_states import State
from tests.keeper.keeping import PROMISES
from tests.simulation.acts import Player, differs, schedule
from tests.simulation.corners import CORNERS, TABLE, Corner
from tests.simulation.mutants import SqlMutant, TreeMutant, of_module, of_statements
from tests.simulation.postgres import Ground, PostgresRecord
from tests.simulation.record import SECOND, Asked, Record, View
from tests.simulation.runs import tally
from tests.simulation.world import World

Mutant = SqlMutant | TreeMutant

_STATEMENTS = ("ACCEPT", "CLAIM", "FINISH", "ATTACH", "CANCEL", "EXPIRE", "MAKE_DUE", "BEAT")
_OF_QUESTIONS = ("PARK", "GO_ON")
# They share all but what they take back, and from whom: the first stands for the others in that.
_TAKING_BACK = ("BURY_SLOT", "REAP", "REAP_ORPHANS", "LEAVE", "FORGOTTEN")
_SHARED = ("_AGAIN", "_CALL_BACK", "_ENDED_AT", "_TYPE_OF_STATUS", "WITH_REASON", "TASK_LETTERS")
_SEEDS = 12
_ACTS = 60


def statements() -> Iterator[SqlMutant]:
    texts = {name: getattr(sql, name) for name in (*_STATEMENTS, *_TAKING_BACK)}
    texts |= {name: getattr(questions_sql, name) for name in _OF_QUESTIONS}
    shared = {name: getattr(sql, name) for name in _SHARED}
    yield from of_statements(texts, {**shared, "_AUDIT": sql._AUDIT.format(rows="e")})


def acts() -> Iterator[TreeMutant]:
    yield from of_module(Path(task_states.__file__))


def keeper() -> Iterator[TreeMutant]:
    yield from of_module(Path(keep.__file__))


# --- statements ----------------------------------------------------------------------------------------------------


def is_sql(mutant: SqlMutant, here: Ground) -> bool:
    """What the server would refuse from the start is no mutant."""

    async def prepared() -> bool:
        async with here.database.connection() as connection:
            try:
                for text in mutant.texts.values():
                    await connection.prepare(text)
            except Exception:
                return False
            return True

    return here.run(prepared())


def statement_fails(mutant: SqlMutant, here: Ground) -> str | None:
    """Where it does not do as it should; None for a survivor."""
    with ExitStack() as stack:
        for name, text in mutant.texts.items():
            stack.enter_context(patch.object(questions_sql if name in _OF_QUESTIONS else sql, name, text))
        trials = [partial(differ, seed, here, task_states) for seed in seeds()]
        corners = [partial(_cornered, corner, here) for corner in CORNERS]
        return _first([*trials, *corners, *(partial(scenario, here) for scenario in SCENARIOS)])


@cache
def seeds() -> tuple[int, ...]:
    """Those whose schedules show the most different changes of rows, each of them a few times."""
    shown = {seed: _shown(seed) for seed in range(200)}
    chosen: list[int] = []
    seen: Counter[tuple[object, ...]] = Counter()
    for _ in range(_SEEDS):
        best = max(shown, key=lambda seed: sum(1 / (1 + 4 * seen[change]) for change in shown[seed]))
        seen.update(shown.pop(best))
        chosen.append(best)
    return tuple(chosen)


def _shown(seed: int) -> set[tuple[object, ...]]:
    memory = Record()
    player = Player(memory, View(memory), reads=False)
    changes: set[tuple[object, ...]] = set()
    for act in schedule(seed, _ACTS):
        before = player.known
        player.play(*act)
        for task, row in player.known.items():
            if (old := before.get(task)) != row:
                changes.add((act[0], old and old.status, *_shape(row), *(() if old is None else _shape(old))))
    return changes


def _shape(row: State) -> tuple[object, ...]:
    return row.status, row.due_at is None, row.rank is None, row.attached, row.losses > 0, row.attempt > 1, row.error


def differ(seed: int, here: Ground, states: ModuleType) -> str | None:
    memory, postgres = Record(states), PostgresRecord(here)
    players = Player(memory, View(memory), reads=False), Player(postgres, postgres, reads=False)
    found = differs(*players, schedule(seed, _ACTS))
    return found and f"seed {seed}: {found}"


def _cornered(corner: Corner, here: Ground) -> None:
    record = PostgresRecord(here)
    corner(record, record)


def _cornered_in_memory(corner: Corner, module: ModuleType) -> None:
    record = Record(module)
    corner(record, View(record))


def _first(trials: Sequence[Callable[[], str | None]]) -> str | None:
    for trial in trials:
        try:
            why = trial()
        except _OutOfTime:
            return "out of time"
        except Exception as exc:
            why = f"{type(exc).__name__}: {exc}"
        if why:
            return why.split("\n")[0][:200]
    return None


@contextmanager
def _beside(here: Ground) -> Iterator[Callable[..., list[Any]]]:
    """Another transaction, which ends with the block."""
    other: Alone = here.run(connect(here.database.url))
    here.run(other.execute("BEGIN"))

    def say(statement: str, *args: Any) -> list[Any]:
        return list(here.run(other.fetch(statement, *args)))

    try:
        yield say
        here.run(other.execute("COMMIT"))
    finally:
        here.run(other.close())


def _accepted(here: Ground, tasks: int = 3) -> tuple[PostgresRecord, int]:
    record = PostgresRecord(here)
    for _ in range(tasks):
        record.accept([Asked(user=0, ttl=60 * SECOND)])
    return record, record.join()


_LOCK = "SELECT FROM agent_executions ORDER BY created_at, rank LIMIT 1 FOR UPDATE"


def a_claim_passes_what_is_locked(here: Ground) -> str | None:
    record, worker = _accepted(here)
    with _beside(here) as say:
        say(_LOCK)
        claimed = record.claim(worker, 0, (0,), 2)
    return None if len(claimed) == 2 else f"claimed {claimed}"


def expiring_passes_what_is_locked(here: Ground) -> str | None:
    record, _ = _accepted(here)
    record.now += 60 * SECOND
    with _beside(here) as say:
        say(_LOCK)
        first = record.expire()
    then = record.expire()
    return None if (first, then) == (2, 1) else f"expired {first}, then {then}"


def making_due_passes_what_is_locked(here: Ground) -> str | None:
    record, worker = _accepted(here)
    for one in record.claim(worker, 0, (0,), 3):
        record.finish(one, "failed", error="SERVICE_UNAVAILABLE", back_off=SECOND)
    record.now += SECOND
    with _beside(here) as say:
        say(_LOCK)
        record.make_due()
        claimable = record.claimable()
    return None if claimable == {0: 2} else f"claimable {claimable}"


def a_claim_that_slips_in_is_taken_back(here: Ground) -> str | None:
    """Its worker is declared dead before it is committed; another lives."""
    record, worker = _accepted(here, 1)
    with _beside(here) as say:
        [claimed] = say(sql.CLAIM, record.worker_id(worker), "agent 0", ["tool 0"], 1, True)
        record.now += 4 * SECOND
        record.join()
        record.reap()
    agents = record.reap()
    [row] = record.rows().values()
    return None if (agents, row.status, row.losses) == ({0}, "queued", 1) else f"{agents}, {row}, {claimed}"


def an_end_that_was_first_is_left_alone(here: Ground) -> str | None:
    """A worker's slot boots anew while its finish is being committed; what else it held is taken back."""
    record, worker = _accepted(here, 2)
    return _ended_first(here, record, worker, lambda: here.queue.join(["agent 0"], slot=f"place/{worker}"))


def an_end_that_was_first_is_not_forgotten(here: Ground) -> str | None:
    """A worker beats, and does not know what it was given, while the end of that is being committed."""
    record, worker = _accepted(here, 2)
    return _ended_first(here, record, worker, lambda: here.queue.beat(record.worker_id(worker), []))


def _ended_first(
    here: Ground, record: PostgresRecord, worker: int, take_back: Callable[[], Coroutine[Any, Any, object]]
) -> str | None:
    held, other = record.claim(worker, 0, (0,), 2)
    record.now += SECOND
    record.beat(worker, [held, other])
    with _beside(here) as say:
        claimed = record.claimed(held)
        say(sql.FINISH, [claimed.user_id], [claimed.id], [held.fence], ["succeeded"], [b"1"], [None], [None])
        taking_back = here.begin(take_back())
        waited = here.run(_is_held_up(here, taking_back))
    here.run(_end_of(taking_back))
    if not waited:
        # Had that end been rolled back, nobody would have taken back what it was of.
        return "it was not waited for"
    states = {task: row.status for task, row in record.rows().items()}
    return None if states == {held.task: "succeeded", other.task: "queued"} else f"{states}"


def four_losses_are_not_five(here: Ground) -> str | None:
    """What fails after them, and might pass, is a dead letter by its attempts alone."""
    letters = []
    for attempts in (1, 3):
        record = PostgresRecord(here)
        record.accept([Asked(user=0, max_attempts=attempts)])
        for _ in range(4):
            worker = record.join()
            record.claim(worker, 0, (0,), 1)
            record.bury(worker)
        [one] = record.claim(record.join(), 0, (0,), 1)
        record.finish(one, "failed", error="SERVICE_UNAVAILABLE")
        letters.append(record.letters())
    return None if letters == [[(0, 1)], []] else f"letters {letters}"


def the_last_answer_lets_it_go_on(here: Ground) -> str | None:
    """And neither the first one, nor what another task has asked."""
    record, worker = _accepted(here, 2)
    first, second = map(record.claimed, record.claim(worker, 0, (0,), 2))
    wanted = TaskError(code="INPUT_REQUIRED", message="asked for")
    for task, keys in ((first, ("one", "two")), (second, ("one",))):
        asks = Questions({key: {} for key in keys})
        here.run(here.queue.finish(task, Outcome("failed", error=wanted, asks=asks)))
    claimable = []
    for key in ("one", "two"):
        here.run(here.tasks.answer(first.user_id, first.id, {key: {}}))
        claimable.append(record.claimable())
    return None if claimable == [{}, {0: 1}] else f"claimable {claimable}"


async def _is_held_up(here: Ground, work: asyncio.Task[object]) -> bool:
    """Once it is blocked; or not, once it has ended."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    while not work.done():
        if await here.database.fetchval(waiting):
            return True
    return False


async def _end_of(work: asyncio.Task[object]) -> None:
    await work


SCENARIOS: tuple[Callable[[Ground], str | None], ...] = (
    a_claim_passes_what_is_locked,
    expiring_passes_what_is_locked,
    making_due_passes_what_is_locked,
    a_claim_that_slips_in_is_taken_back,
    an_end_that_was_first_is_left_alone,
    an_end_that_was_first_is_not_forgotten,
    four_losses_are_not_five,
    the_last_answer_lets_it_go_on,
)

# --- modules -------------------------------------------------------------------------------------------------------


def acts_fail(mutant: TreeMutant, here: Ground) -> str | None:
    try:
        module = mutant.module(task_states.__name__)
        told = [partial(row, module) for row in TABLE]
        corners = [partial(_cornered_in_memory, corner, module) for corner in CORNERS]
        differing = [partial(differ, seed, here, module) for seed in seeds()]
        return _first([*told, *corners, partial(_simulated, module), *differing])
    except Exception as exc:
        return f"{type(exc).__name__}: {exc}"


def _simulated(module: ModuleType) -> str | None:
    with _in_time(5):
        found = tally(range(100), type("Mutated", (World,), {"states": module}), stop_at_first=True)
    return next(iter(found.broken.values()), None)


def keeper_fails(mutant: TreeMutant) -> str | None:
    try:
        with _in_time(5):
            module = mutant.module(keep.__name__)
            return _first([partial(promise, module) for promise in PROMISES])
    except Exception as exc:
        return f"{type(exc).__name__}: {exc}"


class _OutOfTime(BaseException):
    """Not to be caught by what runs."""


@contextmanager
def _in_time(seconds: int) -> Iterator[None]:
    """Mutants may run on without end, and without a wait at which they could be stopped."""

    def stop(signal_number: int, frame: FrameType | None) -> None:
        raise _OutOfTime

    before = signal.signal(signal.SIGALRM, stop)
    # Again and again: a callback of the interpreter's may swallow one.
    signal.setitimer(signal.ITIMER_REAL, seconds, 0.1)
    try:
        yield
    except _OutOfTime:
        raise Unavailable("out of time") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
