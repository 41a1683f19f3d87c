"""`make bench B=graph`: rebuilding, following and asking the knowledge graph, in PostgreSQL and in Neo4j.

One user has `--tasks` tasks; each was made by somebody, with something, and used three others. Lag: from a task's
end to its node, while others end.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

from events.tasks import TaskSucceeded
from shared.config import Settings
from shared.graph.following import Follower
from shared.graph.walking import neighbours
from shared.local.postgres import running_postgres
from shared.ports.graph import KINDS, Edge, Node, Ref, Star
from shared.ports.signals import Signals
from shared.ports.upkeep import Upkeep
from shared.stores.postgres.migrate import migrate
from shared.wiring import Ports
from tests.contract.graph import Here
from tests.graph.places import opened
from tests.neo4j import Neo4j
from tests.report import Target, at_most, report

_AGENTS = 18
_USED = 3
_BATCH = 1000
_ASKED, _WARMING = 300, 60
_LAG_S, _ASK_MS = 2.0, 50.0


def _task(user: UUID, number: int, chance: random.Random) -> Star:
    me = Ref("Task", f"t{number}")
    used = {chance.randrange(max(number, 1)) for _ in range(_USED)} if number else set()
    return Star(
        user_id=user,
        subject="Task",
        id=me.id,
        version=1,
        nodes=(Node("Task", me.id, {"tool": "echo", "status": "succeeded"}),),
        edges=(
            Edge("CREATED", Ref("User", str(user)), me),
            Edge("EXECUTES", Ref("Agent", f"agent-{number % _AGENTS}"), me),
            *(Edge("USED", me, Ref("Task", f"t{one}")) for one in used),
        ),
    )


async def _filled(here: Here, tasks: int) -> int:
    """How many relations there are."""
    chance = random.Random(1)
    relations = 0
    for start in range(0, tasks, _BATCH):
        stars = [_task(here.ada, number, chance) for number in range(start, min(start + _BATCH, tasks))]
        relations += sum(len(star.edges) for star in stars)
        await here.facts.put(stars)
    return relations


async def _asked(here: Here, ids: Sequence[str]) -> tuple[list[float], float]:
    """Neighbours up to two steps away, of all kinds: in ms, and this process's own share of each in ms of CPU.

    The first ones warm up.
    """
    took: list[float] = []
    cpu = 0.0
    for number in range(-_WARMING, _ASKED):
        if number == 0:
            took.clear()
            cpu = time.process_time()
        began = time.perf_counter()
        await neighbours(here.graph, here.ada, ids[number % len(ids)], depth=2, kinds=KINDS, limit=50)
        took.append((time.perf_counter() - began) * 1000)
    return took, (time.process_time() - cpu) * 1000 / _ASKED


def _typical(tasks: int) -> list[str]:
    chance = random.Random(2)
    return [f"t{chance.randrange(tasks)}" for _ in range(_ASKED)]


def _hubs(here: Here) -> list[str]:
    """Whom every task hangs on, those that very many do, and the tasks that are used the most."""
    return [str(here.ada), *(f"agent-{number}" for number in range(_AGENTS)), *(f"t{number}" for number in range(20))]


async def _end_one(here: Here) -> str:
    """A task that has ended, and what tells of it, as the record keeps both."""
    task_id = uuid4()
    async with here.database.transaction() as connection:
        await connection.execute(
            "INSERT INTO agent_executions (user_id, id, agent_type, task_id, input_data, output_data, status, priority,"
            " timeout_ms, expires_at, attempt, worker_id, started_at, finished_at)"
            " VALUES ($1, $2, 'everything', 'echo', $3, $4, 'succeeded', 4, 1000, now(), 1, $2, now(), now())",
            here.bob,
            task_id,
            b'\x00{"message":"%s"}' % str(uuid4()).encode(),
            b'\x00"what came out of it: %s"' % str(task_id).encode(),
        )
        await connection.execute(
            "INSERT INTO events (type, source, subject, user_id, agent, sequence, data)"
            " VALUES ($1, '/functions/finish', $2, $3, 'everything', 1, '{}')",
            TaskSucceeded.type,
            str(task_id),
            here.bob,
        )
    return str(task_id)


@asynccontextmanager
async def _followed(here: Here, ports: Ports) -> AsyncIterator[None]:
    """As it runs beside the keeper, who numbers events."""
    upkeep, signals = await ports.open(Upkeep), await ports.open(Signals)

    async def number() -> None:
        while True:
            await upkeep.number()
            await asyncio.sleep(0.1)

    tasks = [asyncio.create_task(number()), asyncio.create_task(here.follower().run(signals))]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _lags(here: Here, ports: Ports, *, seconds: float, per_s: float) -> list[float]:
    ended: dict[str, float] = {}
    lags: list[float] = []
    until = time.monotonic() + seconds
    async with _followed(here, ports), asyncio.timeout(seconds + 120):
        # The follower has to begin once before there is something to follow.
        ended[await _end_one(here)] = time.monotonic()
        while ended or time.monotonic() < until:
            if time.monotonic() < until:
                for _ in range(max(1, int(per_s / 20))):
                    ended[await _end_one(here)] = time.monotonic()
            seen = await here.graph.nodes(here.bob, list(ended))
            lags += [time.monotonic() - ended.pop(node.id) for node in seen]
            await asyncio.sleep(0.05)
    # Those that were there before it had begun say how long that takes, and nothing of its lag.
    return lags[max(1, int(per_s * 2)) :]


def _p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)] if values else float("inf")


async def _measure(settings: Settings, name: str, asked: argparse.Namespace) -> dict[str, Target]:
    async with asyncio.timeout(1500), opened(settings) as here:
        relations = await _filled(here, asked.tasks)
        began = time.monotonic()
        await Follower(facts=here.facts, gathering=here.gathering, engine=here.engine).rebuild()
        rebuilt_s = time.monotonic() - began
        print(f"{name}: {asked.tasks} nodes, {relations} relations rebuilt in {rebuilt_s:.1f} s", flush=True)
        (typical, typical_cpu), (hubs, hubs_cpu) = [
            await _asked(here, ids) for ids in (_typical(asked.tasks), _hubs(here))
        ]
        async with Ports(settings) as ports:
            lags = await _lags(here, ports, seconds=asked.minutes * 60, per_s=asked.rate)
        began = time.monotonic()
        drift = await here.follower().sweep()
        print(f"{name}: compared whole in {time.monotonic() - began:.1f} s, {drift.differing} buckets differ")
        for what, took, cpu in (("a task", typical, typical_cpu), ("a hub", hubs, hubs_cpu)):
            p50 = sorted(took)[len(took) // 2]
            print(f"{name}: neighbours of {what}, depth 2: p50 {p50:.1f} ms, of which here {cpu:.1f} ms of CPU")
        print(f"{name}: {len(lags)} tasks followed")
    return {
        f"{name}: rebuilt, s": at_most(rebuilt_s, 900),
        f"{name}: neighbours depth 2 p99, ms": at_most(_p99(typical), _ASK_MS),
        f"{name}: neighbours of hubs depth 2 p99, ms": at_most(_p99(hubs), _ASK_MS),
        f"{name}: lag p99, s": at_most(_p99(lags), _LAG_S),
        f"{name}: buckets that differ": at_most(drift.differing, 0),
    }


@contextmanager
def _engine(name: str) -> Iterator[str]:
    if name == "postgres":
        yield ""
    else:
        with Neo4j() as server:
            yield server.url


async def _all(asked: argparse.Namespace) -> dict[str, Target]:
    targets: dict[str, Target] = {}
    for name in asked.engines.split(","):
        with tempfile.TemporaryDirectory(prefix="sutazai-bench-") as folder, _engine(name) as url:
            Path(folder).chmod(0o711)
            async with running_postgres(Path(folder) / "pg", fsync=True, say=lambda _: None) as postgres:
                await migrate(postgres)
                settings = Settings.read({"SUTAZAI_HOME": folder, "SUTAZAI_POSTGRES_URL": postgres})
                targets |= await _measure(replace(settings, neo4j_url=url), name, asked)
    return targets


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--minutes", type=float, default=0.5, help="how long tasks end, for the lag")
    parser.add_argument("--rate", type=float, default=50.0, help="how many of them a second")
    parser.add_argument("--engines", default="postgres,neo4j")
    return report("graph", asyncio.run(_all(parser.parse_args())))


if __name__ == "__main__":
    sys.exit(main())
