"""Faults in an order that a seed decides, and how the seeds of a run share its time and its verdict."""

import argparse
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.report import Target

Worst = dict[str, Target]


@dataclass(frozen=True)
class Fault:
    """`at_s` from the beginning; `which` of a role's processes; `away_s` only where somebody brings it back."""

    at_s: float
    role: str
    which: int
    away_s: float


def schedule(seed: int, seconds: float, weights: dict[str, int], *, every_s: tuple[float, float]) -> list[Fault]:
    """The same for the same seed, whatever the machine does meanwhile."""
    dice = random.Random(seed)
    faults: list[Fault] = []
    at_s = dice.uniform(*every_s)
    while at_s < seconds:
        [role] = dice.choices(list(weights), list(weights.values()))
        faults.append(Fault(round(at_s, 3), role, dice.randrange(8), round(dice.uniform(0.0, 2.0), 3)))
        at_s += dice.uniform(*every_s)
    return faults


def keep_worst(worst: Worst, found: Worst) -> None:
    """The worst seed counts."""
    for key, target in found.items():
        pick = min if target.kind == "at least" else max
        worst[key] = pick(worst.get(key, target), target, key=lambda one: one.value)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What `make chaos` was given: N, S, MINUTES; FIRST is the first seed, so that one can be played again."""

    tasks: int
    seeds: Sequence[int]
    minutes: float
    # Whether the time was set rather than the amount: then what it suffices for is enough.
    bounded: bool

    @property
    def seconds(self) -> float:
        return self.minutes * 60

    def turns(self) -> Iterator[int]:
        """The seeds; where the time was set, the first of them and those that there is time for."""
        began = time.monotonic()
        for done, seed in enumerate(self.seeds):
            passed = time.monotonic() - began
            if self.bounded and done and passed * (done + 1) / done > self.seconds:
                print(f"no time for seed {seed} and what comes after it")
                return
            print(f"seed {seed}", flush=True)
            yield seed


def asked(
    description: str | None, *, tasks: int | None = None, seeds: int | None = None, minutes: float | None = None
) -> Asked:
    """What has no default means nothing to the command, and is refused."""
    parser = argparse.ArgumentParser(description=description)
    parser.set_defaults(tasks=0, seeds=1, minutes=None, first=0)
    if tasks is not None:
        parser.add_argument("--tasks", type=int, default=tasks)
    if seeds is not None:
        parser.add_argument("--seeds", type=int, default=seeds)
        parser.add_argument("--first", type=int, help="the first seed")
    if minutes is not None:
        parser.add_argument("--minutes", type=float, help="bounds the whole run")
    given = parser.parse_args()
    return Asked(
        tasks=given.tasks,
        seeds=range(given.first, given.first + given.seeds),
        minutes=given.minutes or minutes or 0.0,
        bounded=given.minutes is not None,
    )


class Clock:
    """Shares what is left of the time among the seeds that are left."""

    def __init__(self, seconds: float, shares: int) -> None:
        self._until = time.monotonic() + seconds
        self._shares = shares

    def share(self) -> float:
        left = max(self._until - time.monotonic(), 0.0) / max(self._shares, 1)
        self._shares -= 1
        return left
