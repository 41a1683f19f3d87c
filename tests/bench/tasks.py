"""`make bench B=tasks`: what the path of a task costs over the bare statements it needs, on the same server."""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID, uuid4

import asyncpg

from shared.config import Settings
from shared.ports.tasks import NewTask, Outcome, Queue, Tasks
from shared.stores.postgres.migrate import migrate
from shared.wiring import Ports
from tests.bench._cpu import cpu_s, family
from tests.bench._wire import Wire
from tests.report import Target, at_least, at_most, report
from tests.system.platform import Client, Platform

_BARE_TABLE = """
CREATE TABLE bare (
    id uuid PRIMARY KEY, status text NOT NULL, input bytea, output bytea, created timestamptz DEFAULT now()
);
CREATE INDEX ON bare (created) WHERE status = 'queued'
"""


async def _bare_sequence_ms(connection: asyncpg.Connection, times: int) -> list[float]:
    """Insert, claim and finish as three statements of one client: the least that any queue on this server pays."""
    taken = []
    for _ in range(times):
        task_id, began = uuid4(), time.perf_counter()
        await connection.execute("INSERT INTO bare (id, status, input) VALUES ($1, 'queued', $2)", task_id, b"{}")
        await connection.execute(
            "UPDATE bare SET status = 'running' WHERE id = (SELECT id FROM bare WHERE status = 'queued'"
            " ORDER BY created LIMIT 1 FOR UPDATE SKIP LOCKED)"
        )
        await connection.execute("UPDATE bare SET status = 'done', output = $2 WHERE id = $1", task_id, b"{}")
        taken.append((time.perf_counter() - began) * 1000)
    return taken


def _echo(message: str, *, wait: bool) -> bytes:
    asked = {"agent_id": "everything", "task": "echo", "parameters": {"message": message}, "wait": wait}
    return json.dumps(asked).encode()


async def _over_http_ms(wire: Wire, times: int) -> list[float]:
    """From the request to the answer that holds the result."""
    taken = []
    for number in range(times):
        began = time.perf_counter()
        status, answer = await wire.post("/api/v1/agents/execute", _echo(str(number), wait=True))
        taken.append((time.perf_counter() - began) * 1000)
        assert (status, answer["data"]["status"]) == (200, "succeeded"), answer
    return taken


async def _latency(wire: Wire, postgres_url: str) -> tuple[float, float]:
    """Medians of both in ms, measured in turns."""
    connection = await asyncpg.connect(postgres_url)
    await connection.execute(_BARE_TABLE)
    bare: list[float] = []
    ours: list[float] = []
    try:
        for _ in range(10):
            bare += await _bare_sequence_ms(connection, 30)
            ours += await _over_http_ms(wire, 30)
    finally:
        await connection.close()
    return statistics.median(bare), statistics.median(ours)


async def _throughput(platform: Platform, token: str, tasks: int) -> tuple[float, float]:
    """Tasks a second from the first request to the last end, and CPU ms a task of all processes, ours too."""
    body = _echo("x", wait=False)
    left = iter(range(tasks))
    ids: list[str] = []

    async def submit(wire: Wire) -> None:
        for _ in left:
            status, answer = await wire.post("/api/v1/agents/execute", body)
            assert status == 202, answer
            ids.append(answer["data"]["task_id"])
        wire.close()

    wires = [await Wire.connect(platform.api, token) for _ in range(32)]
    processes = family(platform.pids()["supervisor"][0]) | {os.getpid()}
    spent, began = cpu_s(processes), time.perf_counter()
    await asyncio.gather(*map(submit, wires))
    connection = await asyncpg.connect(platform.postgres_url)
    try:
        query = "SELECT count(*) FROM sutazai.agent_executions WHERE status = 'succeeded' AND id = ANY($1)"
        while await connection.fetchval(query, ids) < tasks:
            await asyncio.sleep(0.02)
    finally:
        await connection.close()
    return tasks / (time.perf_counter() - began), (cpu_s(processes) - spent) * 1000 / tasks


async def _claim_ms(queue: Queue, worker: UUID) -> float:
    began = time.perf_counter()
    claimed = await queue.claim(worker, "everything", ["echo"], 16)
    taken = (time.perf_counter() - began) * 1000
    assert len(claimed) == 16
    await asyncio.gather(*(queue.finish(task, Outcome("succeeded")) for task in claimed))
    return taken


async def _fill(tasks: Tasks, count: int) -> None:
    users = [uuid4() for _ in range(50)]
    for start in range(0, count, 500):
        new = [
            NewTask(
                user_id=users[n % 50], agent="everything", tool="echo", parameters={"message": "x"}, priority=n % 10
            )
            for n in range(start, min(start + 500, count))
        ]
        await tasks.accept(new)


async def _claims(postgres_url: str) -> tuple[float, float]:
    """Median ms of a claim of 16 with 500 and with 50,000 queued, measured in turns."""
    async with AsyncExitStack() as stack:
        queues = []
        for count in (500, 50_000):
            ports = await stack.enter_async_context(Ports(await _database(postgres_url, f"claims{count}")))
            queue, tasks = await ports.open(Queue), await ports.open(Tasks)
            await _fill(tasks, count)
            queues.append((queue, await queue.join(["everything"], slot=None)))
        rounds = [[await _claim_ms(queue, worker) for queue, worker in queues] for _ in range(30)]
    return statistics.median(few for few, _ in rounds), statistics.median(many for _, many in rounds)


async def _database(postgres_url: str, name: str) -> Settings:
    connection = await asyncpg.connect(postgres_url)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    url = urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))
    await migrate(url)
    return Settings.read({"SUTAZAI_POSTGRES_URL": url, "SUTAZAI_HOME": "/nonexistent"})


async def _measure(tasks: int) -> dict[str, Target]:
    with tempfile.TemporaryDirectory(prefix="sutazai-bench-") as folder:
        Path(folder).chmod(0o755)
        with Platform(Path(folder) / "home") as platform:
            async with Client(platform.api) as client:
                token = client.http.headers["authorization"].removeprefix("Bearer ")
                wire = await Wire.connect(platform.api, token)
                await _over_http_ms(wire, 30)
                bare_ms, ours_ms = await _latency(wire, platform.postgres_url)
                wire.close()
                rates = [await _throughput(platform, token, tasks) for _ in range(3)]
                small_ms, large_ms = await _claims(platform.postgres_url)
    rate, cpu_ms = statistics.median(r for r, _ in rates), statistics.median(c for _, c in rates)
    print(f"bare statements {bare_ms:.2f} ms, over HTTP with its result {ours_ms:.2f} ms")
    print(f"claim of 16: {small_ms:.2f} ms of 500 queued, {large_ms:.2f} ms of 50,000")
    return {
        "tasks a second": at_least(rate, 300),
        "CPU ms a task": at_most(cpu_ms, 4.0),
        "latency p50 over the bare sequence": at_most(ours_ms / bare_ms, 8.0),
        "claim with 50,000 queued over 500": at_most(large_ms / small_ms, 2.0),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=2000)
    asked = parser.parse_args()
    return report("tasks", asyncio.run(_measure(asked.tasks)))


if __name__ == "__main__":
    sys.exit(main())
