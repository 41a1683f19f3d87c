"""One process that asks as often as it can: `python -m tests.stores._hammer REPLICAS SECONDS`, settings by environment.

Prints what was admitted, one JSON list of [before, after] in seconds of the machine's clock.
"""

import asyncio
import dataclasses
import json
import sys
import time

from shared.config import Settings
from shared.stores import limits as module
from shared.stores import redis
from shared.stores.gcra import Plan
from shared.stores.limits import RedisLimits
from shared.stores.postgres.database import Database
from shared.stores.redis import Cache

# Thirty a second, sixteen at once: a test sees in seconds what a tier shows in hours.
PLAN = Plan(33_333, 16)


def quicken() -> None:
    """All that waits for Redis to come back, in the same proportion as it is."""
    redis._RETRY_FIRST_S, redis._RETRY_LAST_S, redis._CONNECT_S = 0.1, 0.4, 0.3
    module._PERMIT_S, module._SETTLE_S = 0.8, 1.5
    module._PLANS["free"] = PLAN


async def main(replicas: int, seconds: float) -> None:
    quicken()
    settings = dataclasses.replace(Settings.read(), replicas=replicas)
    admitted: list[tuple[float, float]] = []
    async with Database(settings=settings) as database, Cache(settings=settings) as cache:
        limits = RedisLimits(cache=cache, database=database, settings=settings)
        # Imports the driver and connects.
        await limits.take("nobody", "free")
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        end = time.monotonic() + seconds
        while (before := time.monotonic()) < end:
            quota = await limits.take("ada", "free")
            if quota is not None and quota.admitted:
                admitted.append((before, time.monotonic()))
            await asyncio.sleep(0.004)
    print(json.dumps(admitted), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
