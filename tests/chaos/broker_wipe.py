"""`make chaos C=broker-wipe`: RabbitMQ is killed and comes back with nothing it knew, again and again, under load."""

import asyncio
import random
import sys
from functools import partial

from tests.chaos._cluster import Cluster, Shape
from tests.chaos._load import Load, under_load
from tests.chaos._seeds import Worst, asked, keep_worst
from tests.report import Target, at_least, exactly, report

_WIPES = 3


async def faults(here: Cluster, load: Load, *, seed: int) -> dict[str, Target]:
    """Wiped together with whoever would have remembered what it held."""
    dice = random.Random(seed)
    for _ in range(_WIPES):
        before = len(load.ids)
        beside = dice.choice(["keeper", "connector", "worker", "nobody"])
        wiping = asyncio.create_task(here.kill_broker(away_s=dice.uniform(0, 4), wiped=True))
        await asyncio.sleep(dice.uniform(0, 1))
        if beside != "nobody":
            here.kill(beside)
        await wiping
        print(f"wiped, {beside} killed beside it, {len(load.ids) - before} accepted meanwhile")
        await asyncio.sleep(dice.uniform(0.5, 2))
    return {
        "wipes": at_least(_WIPES, _WIPES),
        "submissions refused": exactly(sum(load.refused.values()), 0),
    }


def main() -> int:
    given = asked(__doc__, tasks=0, seeds=2, minutes=4)
    worst: Worst = {}
    for seed in given.seeds:
        print(f"seed {seed}")
        keep_worst(worst, asyncio.run(under_load(Shape(), partial(faults, seed=seed))))
    return report("chaos-broker-wipe", worst)


if __name__ == "__main__":
    sys.exit(main())
