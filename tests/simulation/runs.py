"""Runs of the simulated system, each decided by one number, and the shortest schedule that still breaks a promise."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random

from shared.task_states import MOVES
from tests.simulation.days import FAULTS, STEP_BYTES
from tests.simulation.promises import Broken
from tests.simulation.world import World, step_names

STEPS = 56


def schedule_of(seed: int, steps: int = STEPS) -> bytes:
    return Random(seed).randbytes(1 + steps * STEP_BYTES)


# Of so many schedules at least one takes each way and meets each fault.
RARE = 2000


@dataclass
class Tally:
    """Of many runs. `broken`: the seeds of those that broke a promise, with what they broke."""

    schedules: int = 0
    moves: Counter[tuple[str | None, str]] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    broken: dict[int, str] = field(default_factory=dict)

    def least(self) -> tuple[str, int]:
        """What was seen least often, of all that tasks can do and all that can happen to them."""
        seen = {f"{old or 'none'} -> {new}": self.moves[old, new] for old, new in MOVES}
        seen |= {fault: self.faults[fault] for fault in FAULTS}
        return min(seen.items(), key=lambda item: item[1])

    def add(self, other: "Tally") -> None:
        self.schedules += other.schedules
        self.moves.update(other.moves)
        self.faults.update(other.faults)
        self.broken.update(other.broken)


def broken_by(schedule: bytes, world: type[World] = World, say: Callable[[str], None] | None = None) -> str | None:
    """The promise that it breaks, with why."""
    try:
        world(say).run(schedule)
    except Broken as broken:
        return str(broken)
    except Exception as exc:
        return f"{type(exc).__name__}: {exc}"
    return None


def tally(seeds: Iterable[int], world: type[World] = World, *, stop_at_first: bool = False) -> Tally:
    found = Tally()
    for seed in seeds:
        run = world()
        found.schedules += 1
        try:
            run.run(schedule_of(seed))
        except Exception as exc:
            found.broken[seed] = str(exc) if isinstance(exc, Broken) else f"{type(exc).__name__}: {exc}"
            if stop_at_first:
                break
        found.moves.update(run.promises.moves)
        found.faults.update(run.faults)
    return found


def shrunk(schedule: bytes, world: type[World] = World) -> bytes:
    """Steps are left out for as long as the same promise stays broken: first many at once, then one by one."""
    day = schedule[:1]
    steps = [schedule[at : at + STEP_BYTES] for at in range(1, len(schedule), STEP_BYTES)]
    kept = _promise(schedule, world)
    size = len(steps) // 2
    while size:
        at = 0
        while at < len(steps):
            fewer = steps[:at] + steps[at + size :]
            if _promise(day + b"".join(fewer), world) == kept:
                steps = fewer
            else:
                at += size
        size //= 2
    return day + b"".join(steps)


def _promise(schedule: bytes, world: type[World]) -> str | None:
    why = broken_by(schedule, world)
    return why and why.split(":")[0]


def told(seed: int, world: type[World] = World) -> str:
    """The story of a seed that breaks a promise, without what is not needed for it."""
    short = shrunk(schedule_of(seed), world)
    names = step_names(short)
    lines: list[str] = []
    why = broken_by(short, world, lines.append)
    head = f"seed {seed}, {len(names)} steps of {STEPS} left: {', '.join(names)}"
    return "\n".join([head, *lines, f"BROKEN {why}"])
