"""The last line of every measurement, for people and machines."""

import json
import os
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Target:
    """A measured value against its bound."""

    value: float
    bound: float
    kind: Literal["at most", "at least", "exactly"]

    @property
    def holds(self) -> bool:
        if self.kind == "exactly":
            return self.value == self.bound
        return self.value <= self.bound if self.kind == "at most" else self.value >= self.bound


def at_most(value: float, bound: float) -> Target:
    return Target(value, bound, "at most")


def at_least(value: float, bound: float) -> Target:
    return Target(value, bound, "at least")


def exactly(value: float, bound: float) -> Target:
    return Target(value, bound, "exactly")


def report(name: str, targets: dict[str, Target]) -> int:
    """Prints a table and the RESULT line; returns the exit status."""
    print()
    for key, target in targets.items():
        verdict = "ok  " if target.holds else "FAIL"
        print(f"{verdict} {key:<44} {target.value:>12.3f}  ({target.kind} {target.bound:g})")
    shown = {
        key: {"value": round(target.value, 4), "target": f"{target.kind} {target.bound:g}", "pass": target.holds}
        for key, target in targets.items()
    }
    print("RESULT", json.dumps({"name": name, "targets": shown}), flush=True)
    return 0 if all(target.holds for target in targets.values()) else 1


def unsupported(name: str, why: str) -> int:
    """Where a means is missing, which is a failure under SUTAZAI_REQUIRE_REAL=1."""
    print("RESULT", json.dumps({"name": name, "unsupported": why}), flush=True)
    return int(os.environ.get("SUTAZAI_REQUIRE_REAL") == "1")
