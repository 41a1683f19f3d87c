"""`make chaos C=clock`: processes whose clocks are a day off, each way; only PostgreSQL's decides."""

import asyncio
import sys
import time
from datetime import datetime
from functools import partial
from pathlib import Path

from tests.chaos._cluster import Cluster, Shape
from tests.chaos._load import Load, under_load
from tests.chaos._seeds import asked
from tests.chaos._work import Accepted, submit
from tests.report import Target, at_least, exactly, report, unsupported
from tests.system.platform import Client

# The gateways' are right: the life of a token is read off the clock of whoever checks it, as everywhere.
SKEWS = {"worker": "+1d", "keeper": "-1d", "agent": "-1d", "connector": "+1d"}
_LASTS_S = 10.0


def library() -> str | None:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    return str(found[-1]) if found else None


def skewed(preload: str) -> Shape:
    # Waits are measured by the monotonic clock, which no operator can set.
    environ = {"LD_PRELOAD": preload, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}
    return Shape(only={role: {**environ, "FAKETIME": skew} for role, skew in SKEWS.items()})


async def faults(here: Cluster, load: Load, *, short: Accepted) -> dict[str, Target]:
    """Tasks that may wait an hour outlive a clock a day ahead; those that may wait a second do not a day behind."""
    skews = [await _skew(here, role) for role in SKEWS]
    async with Client(here.apis[0], "bob") as bob:
        unserved = {"agent_id": "everything", "task": "ledger", "ttl_s": 0.001, "parameters": {}}
        await submit(bob, [unserved] * 20, "short", short)
    await asyncio.sleep(_LASTS_S)
    load.ids += short.ids
    async with here.record() as connection:
        row = await connection.fetchrow(
            "SELECT count(*) FILTER (WHERE id <> ALL($1) AND status = 'expired') AS early,"
            " count(*) FILTER (WHERE id = ANY($1) AND started_at > expires_at) AS late,"
            " count(*) FILTER (WHERE started_at < created_at OR finished_at < started_at) AS unordered,"
            " count(*) FILTER (WHERE abs(extract(epoch FROM created_at - now())) > 3600) AS elsewhen"
            " FROM agent_executions",
            short.ids,
        )
        events = await connection.fetchval(
            "SELECT count(*) FROM events WHERE abs(extract(epoch FROM at - now())) > 3600"
        )
    return {
        "processes with a wrong clock": at_least(sum(abs(skew) > 80_000 for skew in skews), len(SKEWS)),
        "expired before their time": exactly(row["early"], 0),
        "begun after their time": exactly(row["late"], 0),
        "times out of order": exactly(row["unordered"], 0),
        "rows and events of another day": exactly(row["elsewhen"] + events, 0),
    }


async def _skew(here: Cluster, role: str) -> float:
    """By what the process itself writes into its log."""
    name = f"{role}-0" if role == "worker" else role
    log = (here.home / "log" / f"{name}.log").read_text()
    stamp = log.partition('"time": "')[2].partition('"')[0]
    if not stamp:
        return 0.0
    return datetime.fromisoformat(stamp).timestamp() - time.time()


def main() -> int:
    asked(__doc__)
    preload = library()
    if preload is None:
        return unsupported("chaos-clock", "libfaketime is not installed")
    play = partial(faults, short=Accepted())
    found = asyncio.run(under_load(skewed(preload), play))
    # Those that were to expire did so, which is no success.
    found.pop("ended by neither success nor five lost workers")
    return report("chaos-clock", found)


if __name__ == "__main__":
    sys.exit(main())
