"""`make bench B=queue`: tasks a second and CPU a task beside Celery, Dramatiq and taskiq on one RabbitMQ.

Every round runs each contestant once, in an order that turns. All have two worker processes and one producer
process, persistent messages and publisher confirms. A rival runs bare (a task that only returns) and with the row
that any product needs: an INSERT before the message, an UPDATE with the result. Ours is everything that a task of the
product passes through: the row with its rank, events, audit trail, fence, seals, keeper and wake-ups.
PostgreSQL and RabbitMQ write to disk before they say so, for all alike.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg

from shared.local.lock import ended_by_signals
from shared.local.postgres import running_postgres
from shared.stores.postgres.migrate import migrate
from tests.bench._contest import Contestant, Meter, Round, Running
from tests.bench._cpu import family
from tests.bench._rows import TABLE
from tests.rabbitmq import RabbitMQ, vhost
from tests.report import at_least, report

OURS = "ours"
_INTERRUPTED = 130
_WARM_UP = 300
_WITHIN_S = 90.0
_PARTS = ("producer", "workers", "keeper", "broker", "PostgreSQL")


# Of the settings tried for each rival, the fastest in medians of 3 rounds:
# - producers: 1, 2, 4, 8, 16 and 32 threads (Celery, Dramatiq), 32, 64 and 128 tasks (taskiq)
# - Celery: prefork, its default, with a prefetch multiplier of 16, 64 and 256; two workers with the solo pool; two with
#   4, 8 and 16 threads. Prefork costs a third more CPU a task than two workers of 4 threads and is slower, rows or not
# - Dramatiq: 4, 8 and 16 threads a process, a prefetch of 16 (its default), 64 and 250, which is faster bare alone
# - taskiq: a prefetch and as many tasks at once of 50, 100 and 200; 10, its default prefetch, is slower
def _celery(number: int) -> tuple[str, ...]:
    app = ("-m", "celery", "-A", "tests.bench._celery:app", "worker", "-n", f"{number}@bench")
    quiet = ("--without-gossip", "--without-mingle", "--loglevel", "ERROR")
    return (*app, *quiet, "--pool", "threads", "--concurrency", "4")


_CELERY = [_celery(0), _celery(1)]
_DRAMATIQ = [("-m", "dramatiq", "tests.bench._dramatiq", "-p", "2", "-t", "8", "--skip-logging")]
_TASKIQ_BROKER = ("-m", "taskiq", "worker", "tests.bench._taskiq:broker", "--log-level", "ERROR")
_TASKIQ = [(*_TASKIQ_BROKER, "--workers", "2", "--max-async-tasks", "100")]


def _rival(name: str, module: str, workers: Sequence[Sequence[str]], **environ: str) -> Contestant:
    return Contestant(name=name, workers=workers, producer=("-m", module), environ=environ)


WITH_A_ROW = [
    _rival("Celery, row", "tests.bench._celery", _CELERY, BENCH_ROWS="1"),
    _rival("Dramatiq, row", "tests.bench._dramatiq", _DRAMATIQ, BENCH_ROWS="1"),
    _rival("taskiq, row", "tests.bench._taskiq", _TASKIQ, BENCH_ROWS="1"),
]
BARE = [
    _rival("Celery, bare", "tests.bench._celery", _CELERY),
    _rival("Dramatiq, bare", "tests.bench._dramatiq", _DRAMATIQ, dramatiq_queue_prefetch="250"),
    _rival("taskiq, bare", "tests.bench._taskiq", _TASKIQ),
]
_WORKER = ("-m", "functions", "worker", "--ready", "{home}/ready")
_OURS = Contestant(
    name=OURS,
    workers=[_WORKER, _WORKER],
    producer=("-m", "tests.bench._ours"),
    keeper=("-m", "functions", "serve", "keep", "--host", "127.0.0.1", "--port", "0"),
)


@dataclass(frozen=True)
class Servers:
    broker: RabbitMQ
    postgres_pid: int
    ours_url: str
    rivals_url: str
    home: Path

    def parts(self) -> dict[str, set[int]]:
        return {"broker": family(self.broker.pid), "PostgreSQL": family(self.postgres_pid)}

    async def settle(self) -> None:
        """So that no contestant pays for what another has left to write and to clean up."""
        for url in (self.ours_url, self.rivals_url):
            await _execute(url, "VACUUM ANALYZE")
        await _execute(self.ours_url, "CHECKPOINT")


@asynccontextmanager
async def _servers() -> AsyncIterator[Servers]:
    with tempfile.TemporaryDirectory(prefix="sutazai-bench-") as folder, RabbitMQ() as broker:
        home = Path(folder)
        home.chmod(0o711)
        async with running_postgres(home / "postgres", say=lambda _: None) as url:
            ours, rivals = [urlunsplit(urlsplit(url)._replace(path=f"/{name}")) for name in ("ours", "rivals")]
            await _execute(url, "CREATE DATABASE ours")
            await _execute(url, "CREATE DATABASE rivals")
            await migrate(ours)
            await _execute(rivals, TABLE)
            pid = int((home / "postgres" / "postgres" / "postmaster.pid").read_text().split()[0])
            yield Servers(broker, pid, ours, rivals, home)


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _round_of(servers: Servers, rival: Contestant, tasks: int) -> Round:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder, vhost(servers.broker) as amqp_url:
        ends = Path(folder) / "ends"
        ends.touch()
        environ = {"BENCH_AMQP_URL": amqp_url, "BENCH_POSTGRES_URL": servers.rivals_url, "BENCH_COUNT": str(ends)}

        def ended(count: int) -> Callable[[], Awaitable[bool]]:
            async def look() -> bool:
                return ends.stat().st_size >= count

            return look

        with Running(rival, Path(folder), environ) as running:
            await running.send(_WARM_UP, ended(_WARM_UP), within_s=_WITHIN_S)
            await running.calm()
            meter = Meter(lambda: {**running.parts, **servers.parts()})
            await running.send(tasks, ended(_WARM_UP + tasks), within_s=_WITHIN_S)
            return await meter.round(tasks)


async def _ours(servers: Servers, tasks: int, *, through_rabbitmq: bool) -> Round:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder, vhost(servers.broker) as amqp_url:
        user_id = uuid4()
        environ = {
            "BENCH_USER": str(user_id),
            "SUTAZAI_HOME": str(servers.home / "ours"),
            "SUTAZAI_POSTGRES_URL": servers.ours_url,
            "SUTAZAI_AMQP_URL": amqp_url if through_rabbitmq else "",
        }
        connection = await asyncpg.connect(servers.ours_url, server_settings={"search_path": "sutazai"})
        try:

            async def ended() -> bool:
                """Looks at two small partial indexes, and only once all was accepted."""
                left = "SELECT EXISTS (SELECT FROM agent_executions WHERE status = '{}' AND user_id = $1)"
                return not await connection.fetchval(left.format("queued"), user_id) and not await connection.fetchval(
                    left.format("running"), user_id
                )

            with Running(_OURS, Path(folder), environ) as running:
                await running.send(_WARM_UP, ended, within_s=_WITHIN_S)
                await running.calm()
                meter = Meter(lambda: {**running.parts, **servers.parts()})
                await running.send(tasks, ended, within_s=_WITHIN_S)
                measured = await meter.round(tasks)
            succeeded = "SELECT count(*) FROM agent_executions WHERE user_id = $1 AND status = 'succeeded'"
            assert await connection.fetchval(succeeded, user_id) == _WARM_UP + tasks
            return measured
        finally:
            await connection.close()


async def _rounds(asked: argparse.Namespace) -> dict[str, list[Round]]:
    rivals = {rival.name: rival for rival in (*WITH_A_ROW, *BARE)}
    names = [name for name in (OURS, *rivals) if not asked.only or name in asked.only]
    seen: dict[str, list[Round]] = {name: [] for name in names}
    async with _servers() as servers:
        for number in range(asked.rounds):
            for name in names[number % len(names) :] + names[: number % len(names)]:
                await servers.settle()
                if name == OURS:
                    measured = await _ours(servers, asked.tasks, through_rabbitmq=asked.bus == "rabbitmq")
                else:
                    measured = await _round_of(servers, rivals[name], asked.tasks)
                shown = f"{measured.rate:>8.0f} tasks/s {measured.all_ms:>7.2f} ms of CPU a task"
                print(f"round {number + 1}  {name:<16} {shown}", flush=True)
                seen[name].append(measured)
    return seen


def _table(seen: dict[str, list[Round]]) -> None:
    print(
        f"\n{'medians':<16} {'tasks/s':>8} {'CPU ms/task':>12}", *(f"{part:>11}" for part in _PARTS), f"{'machine':>9}"
    )
    for name, rounds in seen.items():
        parts = [median(one.cpu_ms.get(part, 0.0) for one in rounds) for part in _PARTS]
        print(
            f"{name:<16} {median(one.rate for one in rounds):>8.0f} {median(one.all_ms for one in rounds):>12.2f}",
            *(f"{part:>11.2f}" for part in parts),
            f"{median(one.machine_ms for one in rounds):>9.2f}",
        )
    print("machine: CPU ms a task in which anything at all ran on it, other programs and the kernel too")


async def _main(asked: argparse.Namespace) -> int:
    seen: dict[str, list[Round]] = {}
    with ended_by_signals():
        seen = await _rounds(asked)
    if not seen:
        return _INTERRUPTED
    _table(seen)
    rates = {name: median(one.rate for one in rounds) for name, rounds in seen.items()}
    targets = {}
    if OURS in rates and (rowed := [rival.name for rival in WITH_A_ROW if rival.name in rates]):
        fastest = max(rowed, key=rates.__getitem__)
        print(f"the fastest rival with a row: {fastest}")
        targets["ours over the fastest rival with a row"] = at_least(rates[OURS] / rates[fastest], 1.5)
    if OURS in rates and "Celery, bare" in rates:
        targets["ours over bare Celery"] = at_least(rates[OURS] / rates["Celery, bare"], 1.0)
    return report("queue", targets)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bus", choices=("rabbitmq", "record"), default="rabbitmq")
    parser.add_argument("--only", action="append", help="a contestant by its name, several times for several")
    return asyncio.run(_main(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
