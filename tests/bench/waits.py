"""`make bench B=waits`: how long tasks wait when there are more than can run, on the record's bus and on RabbitMQ.

Urgent tasks (priority 9) arrive while a backlog of low ones (1) stands, several times what runs at once. And 10 tasks
of one agent that outlast the measurement run beside bursts of another's, with and without them in turns:
once tasks that only wait, once tasks that block the process they run in.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from uuid import UUID

from shared.local.lock import ended_by_signals
from tests.bench._waiting import Asked, Asker, Times, p95
from tests.rabbitmq import RabbitMQ, vhost
from tests.report import Target, at_most, report
from tests.system.platform import Platform

_INTERRUPTED = 130
_ALONE = "alone"
_SLOW_TASKS = 10
_LOW, _URGENT = 1, 9
_URGENT_EVERY_S = 0.05
_WITHIN_S = 60.0
# The other agent's: it touches nothing, so what it takes is the platform's.
_OTHER = Asked("filesystem", "list_allowed_directories", timeout_ms=30_000)
# A nap keeps a slot and costs nothing. Of different lengths, or all slots would be free at the same moments.
_NAPS = [{"duration": (20 + number * 37 % 61) / 100, "steps": 1} for number in range(61)]
# By agent: what a backlog is made of, and how many times `--backlog`, so that it stands for a second or more.
_BACKLOGS = {"everything": (Asked("everything", "trigger-long-running-operation", _NAPS), 1), "filesystem": (_OTHER, 2)}


def _slow(seconds: float) -> dict[str, Asked]:
    waits = {"duration": min(seconds, 60), "steps": 1}
    blocks = {"failure": "hang", "fail_attempts": 0, "duration_ms": int(seconds * 1000)}
    return {
        "beside one that waits": Asked("everything", "trigger-long-running-operation", [waits]),
        "beside one that blocks": Asked("everything", "ledger-crash", [blocks], timeout_ms=150_000),
    }


async def priorities(asker: Asker, asked: Asked, backlog: int) -> tuple[Times, Times]:
    """Of urgent tasks that arrive for as long as low ones wait, and of those."""
    low = await asker.ask(asked, backlog, priority=_LOW)
    urgent: list[UUID] = []
    async with asyncio.timeout(_WITHIN_S):
        while await asker.count(low, "queued") > backlog // 20:
            urgent += await asker.ask(asked, 1, priority=_URGENT)
            await asyncio.sleep(_URGENT_EVERY_S)
    assert await asker.until_none([*low, *urgent], "queued", "running", within_s=_WITHIN_S)
    return await asker.times(urgent), await asker.times(low)


async def _burst(asker: Asker, count: int, within_s: float) -> Times:
    ids = await asker.ask(_OTHER, count)
    await asker.until_none(ids, "queued", "running", within_s=within_s)
    return await asker.times(ids)


async def _beside(asker: Asker, slow: Asked | None, asked: argparse.Namespace) -> Times:
    ids = [] if slow is None else await asker.ask(slow, _SLOW_TASKS)
    try:
        assert await asker.until_none(ids, "queued", within_s=_WITHIN_S)
        # What the slow ones have taken has been made again, once for all.
        await _burst(asker, 50, 2)
        return await _burst(asker, asked.burst, asked.patience)
    finally:
        await asker.cancel(ids)
        # What has waited for the slow ones' processes, and those processes themselves, are gone before the next.
        await _burst(asker, 50, _WITHIN_S)


async def _backlogs(asker: Asker, bus: str, asked: argparse.Namespace) -> dict[str, Target]:
    targets = {}
    for agent, (work, count) in _BACKLOGS.items():
        rounds = [await priorities(asker, work, count * asked.backlog) for _ in range(asked.rounds)]
        urgent, low = (median(p95(one[at].waits) for one in rounds) for at in (0, 1))
        ended = [median(p95(one[at].latencies) for one in rounds) for at in (0, 1)]
        arrived = sum(len(one[0].waits) for one in rounds)
        print(f"{bus:<9} {agent}: p95 wait of {arrived} urgent {urgent * 1e3:.0f} ms, of low {low * 1e3:.0f} ms;")
        print(f"{'':<9} until their end {ended[0] * 1e3:.0f} and {ended[1] * 1e3:.0f} ms", flush=True)
        targets[f"{bus}: urgent over low, {agent}"] = at_most(urgent / low, 0.1)
    return targets


async def _neighbours(asker: Asker, bus: str, asked: argparse.Namespace) -> dict[str, Target]:
    kinds: list[tuple[str, Asked | None]] = [(_ALONE, None), *_slow(asked.slow).items()]
    seen: dict[str, list[Times]] = {kind: [] for kind, _ in kinds}
    for number in range(asked.turns):
        first = number % len(kinds)
        for kind, slow in kinds[first:] + kinds[:first]:
            seen[kind].append(await _beside(asker, slow, asked))
    found = {
        kind: (median(p95(one.waits) for one in times), median(p95(one.latencies) for one in times))
        for kind, times in seen.items()
    }
    targets = {}
    for kind, (wait, latency) in found.items():
        print(f"{bus:<9} another agent {kind}: p95 wait {wait * 1e3:.0f} ms, to end {latency * 1e3:.0f} ms", flush=True)
        if kind != _ALONE:
            targets[f"{bus}: wait {kind}, over alone"] = at_most(wait / found[_ALONE][0], 1.2)
            targets[f"{bus}: latency {kind}, over alone"] = at_most(latency / found[_ALONE][1], 1.2)
    return targets


async def _measure(platform: Platform, bus: str, asked: argparse.Namespace) -> dict[str, Target]:
    async with Asker.on(platform) as asker:
        await _burst(asker, 50, _WITHIN_S)
        return {**await _backlogs(asker, bus, asked), **await _neighbours(asker, bus, asked)}


@contextmanager
def _platform(bus: str) -> Iterator[Platform]:
    with tempfile.TemporaryDirectory(prefix="sutazai-bench-") as folder:
        Path(folder).chmod(0o755)
        home = Path(folder) / "home"
        if bus == "record":
            with Platform(home, SUTAZAI_AMQP_URL="") as platform:
                yield platform
        else:
            with RabbitMQ() as broker, vhost(broker) as url, Platform(home, SUTAZAI_AMQP_URL=url) as platform:
                yield platform


async def _main(asked: argparse.Namespace) -> int:
    targets: dict[str, Target] | None = None
    with ended_by_signals():
        measured: dict[str, Target] = {}
        for bus in asked.bus or ("record", "rabbitmq"):
            with _platform(bus) as platform:
                measured |= await _measure(platform, bus, asked)
        targets = measured
    return _INTERRUPTED if targets is None else report("waits", targets)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backlog", type=int, default=640, help="how many low tasks; 64 run at once")
    parser.add_argument("--rounds", type=int, default=3, help="backlogs of each agent")
    parser.add_argument("--burst", type=int, default=200, help="tasks of the other agent at once")
    parser.add_argument("--turns", type=int, default=12, help="bursts alone, and beside each kind of slow agent")
    parser.add_argument("--slow", type=float, default=60, help="seconds that a slow task takes if nobody ends it")
    parser.add_argument("--patience", type=float, default=10, help="seconds after which a burst is not waited for")
    parser.add_argument("--bus", action="append", choices=("record", "rabbitmq"), help="one alone")
    return asyncio.run(_main(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
