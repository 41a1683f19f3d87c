"""`make chaos C=graph`: Neo4j killed while tasks come in: none suffers, /health says so, and the graph catches up."""

import argparse
import asyncio
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import httpx

from shared.config import Settings
from shared.ports.graph import Facts, GraphEngine
from shared.wiring import Ports
from tests.chaos.broker import submitting
from tests.neo4j import Neo4j
from tests.report import Target, at_least, at_most, exactly, report
from tests.system.platform import Client, Platform
from tests.system.tasks import all_ended

_CAUGHT_UP_S = 60.0
_TOLD_S = 15.0


async def _says(client: Client, status: str, *, within_s: float) -> float:
    """After how many seconds /health says this of Neo4j; infinity where it does not."""
    began = time.monotonic()
    while time.monotonic() - began < within_s:
        health = (await client.http.get("/health")).json()
        if health["services"]["neo4j"]["status"] == status:
            expected = "ok" if status == "ok" else "degraded"
            if health["status"] == expected:
                return time.monotonic() - began
        await asyncio.sleep(0.1)
    return float("inf")


async def _caught_up(settings: Settings, ids: list[str], *, within_s: float) -> tuple[float, int]:
    """After how many seconds every task is in the graph, and how many buckets then differ from the record."""
    began = time.monotonic()
    async with Ports(settings) as ports:
        facts, engine = await ports.open(Facts), await ports.open(GraphEngine)
        differing = 256
        while time.monotonic() - began < within_s:
            live = await engine.live()
            stars = {change.star.id for change in await facts.since(0, limit=100_000) if hasattr(change, "star")}
            if (
                live is not None
                and set(ids) <= stars
                and live.applied_seq
                == max(
                    [change.seq for change in await facts.since(live.applied_seq - 1, limit=10)],
                    default=live.applied_seq,
                )
            ):
                held, wanted = await engine.sums(live.number), await facts.sums(upto_seq=live.applied_seq)
                differing = sum(held.get(key) != wanted.get(key) for key in held.keys() | wanted.keys())
                if not differing:
                    return time.monotonic() - began, 0
            await asyncio.sleep(0.5)
    return float("inf"), differing


async def _outage(platform: Platform, client: Client, server: Neo4j, seconds: float, number: int) -> dict[str, Target]:
    async with submitting(client, every_s=0.05) as found:
        await asyncio.sleep(2)
        await asyncio.to_thread(server.kill)
        before, away = len(found.ids), time.monotonic()
        told_s = await _says(client, "down", within_s=_TOLD_S * 2)
        answer = await client.http.get(f"/api/v1/graph/nodes/{found.ids[0]}")
        await asyncio.sleep(max(0.0, seconds - (time.monotonic() - away)))
        meanwhile = len(found.ids) - before
        await asyncio.to_thread(server.start)
        back_s = await _says(client, "ok", within_s=_TOLD_S * 2)
        await asyncio.sleep(1)
    await all_ended(platform, found.ids, within_s=60)
    settings = Settings.read({"SUTAZAI_HOME": str(platform.home), "SUTAZAI_POSTGRES_URL": platform.postgres_url})
    caught_s, differing = await _caught_up(replace(settings, neo4j_url=server.url), found.ids, within_s=120)
    print(f"kill {number}: {len(found.ids)} tasks, {meanwhile} while Neo4j was away; caught up in {caught_s:.1f} s")
    return {
        f"{number}: submissions refused": exactly(found.refused, 0),
        f"{number}: accepted while it was away": at_least(meanwhile, 1),
        f"{number}: s until /health says degraded": at_most(told_s, _TOLD_S),
        f"{number}: status of a question meanwhile": exactly(answer.status_code, 503),
        f"{number}: s until /health says ok": at_most(back_s, _TOLD_S),
        f"{number}: s until all is caught up": at_most(caught_s, _CAUGHT_UP_S),
        f"{number}: buckets that differ": exactly(differing, 0),
    }


async def _measure(seconds: float, kills: int) -> dict[str, Target]:
    targets: dict[str, Target] = {}
    with tempfile.TemporaryDirectory(prefix="sutazai-chaos-") as folder, Neo4j() as server:
        Path(folder).chmod(0o755)
        with Platform(Path(folder) / "home", SUTAZAI_NEO4J_URL=server.url) as platform:
            async with Client(platform.api) as client:
                client.http.timeout = httpx.Timeout(60)
                for number in range(1, kills + 1):
                    targets |= await _outage(platform, client, server, seconds, number)
    return targets


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=0.25, help="how long it is away at least")
    parser.add_argument("--seeds", type=int, default=2, help="how often it is killed")
    asked = parser.parse_args()
    return report("chaos-graph", asyncio.run(_measure(asked.minutes * 60, asked.seeds)))


if __name__ == "__main__":
    sys.exit(main())
