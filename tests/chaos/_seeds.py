"""Faults in an order that a seed decides, and how the seeds of a run share its time and its verdict."""

import argparse
import random
import time
from collections.abc import Sequence
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


def asked(description: str | None, *, tasks: int, seeds: int, minutes: float) -> Asked:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--tasks", type=int, default=tasks)
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--minutes", type=float, help="bounds the whole run")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    given = parser.parse_args()
    chosen = range(given.first, given.first + given.seeds)
    bounded = given.minutes is not None
    return Asked(tasks=given.tasks, seeds=chosen, minutes=given.minutes if bounded else minutes, bounded=bounded)


class Clock:
    """Shares what is left of the time among the seeds that are left."""

    def __init__(self, seconds: float, shares: int) -> None:
        self._until = time.monotonic() + seconds
        self._shares = shares

    def share(self) -> float:
        left = max(self._until - time.monotonic(), 0.0) / max(self._shares, 1)
        self._shares -= 1
        return left
