"""`make chaos C=redis`: Redis is killed, flushed, hung and filled under load; no task's end depends on it."""

import asyncio
import random
import signal
import sys
import time
from functools import partial

from tests.chaos._cluster import Cluster, Shape
from tests.chaos._load import Load, under_load
from tests.chaos._seeds import Worst, asked, keep_worst
from tests.report import Target, at_least, at_most, exactly, report

_AWAY_S = 6.0
# Whoever asks Redis gives up soon and goes on without it.
_SLOWEST_S = 10.0


async def _command(here: Cluster, *words: str) -> bytes:
    """By hand, for a client would do more than is asked of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", _port(here))
    try:
        for said in (("AUTH", _password(here)), words):
            parts = "".join(f"${len(word)}\r\n{word}\r\n" for word in said)
            writer.write(f"*{len(said)}\r\n{parts}".encode())
            answer = await reader.readline()
        return answer
    finally:
        writer.close()


def _port(here: Cluster) -> int:
    return int(here.urls.redis.rpartition(":")[2].partition("/")[0])


def _password(here: Cluster) -> str:
    return here.urls.redis.partition("://:")[2].rpartition("@")[0]


async def _killed(here: Cluster) -> None:
    until = time.monotonic() + _AWAY_S
    while time.monotonic() < until:
        here.kill("redis")
        await asyncio.sleep(0.2)


async def _flushed(here: Cluster) -> None:
    for _ in range(20):
        assert await _command(here, "FLUSHALL") == b"+OK\r\n"
        await asyncio.sleep(_AWAY_S / 20)


async def _hung(here: Cluster) -> None:
    here.signal("redis", signal.SIGSTOP)
    await asyncio.sleep(_AWAY_S)
    here.signal("redis", signal.SIGCONT)


async def _full(here: Cluster) -> None:
    assert await _command(here, "CONFIG", "SET", "maxmemory", "1") == b"+OK\r\n"
    await asyncio.sleep(_AWAY_S)
    assert await _command(here, "CONFIG", "SET", "maxmemory", "268435456") == b"+OK\r\n"


_WAYS = {"killed": _killed, "flushed": _flushed, "hung": _hung, "full": _full}


async def faults(here: Cluster, load: Load, *, seed: int) -> dict[str, Target]:
    targets: dict[str, Target] = {}
    for name in random.Random(seed).sample(list(_WAYS), len(_WAYS)):
        before, load.slowest_s = len(load.ids), 0.0
        refused = sum(load.refused.values())
        await _WAYS[name](here)
        targets |= {
            f"{name}: accepted meanwhile": at_least(len(load.ids) - before, 1),
            f"{name}: submissions refused": exactly(sum(load.refused.values()) - refused, 0),
            f"{name}: slowest answer, s": at_most(load.slowest_s, _SLOWEST_S),
        }
        # Supervisor and clients find it again.
        await asyncio.sleep(3)
    return targets


def main() -> int:
    given = asked(__doc__, seeds=1, minutes=4)
    worst: Worst = {}
    for seed in given.turns():
        keep_worst(worst, asyncio.run(under_load(Shape(functions=False), partial(faults, seed=seed))))
    return report("chaos-redis", worst)


if __name__ == "__main__":
    sys.exit(main())
