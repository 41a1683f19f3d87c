"""The whole platform with RabbitMQ between its processes."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aio_pika
import asyncpg
import pytest

from tests.chaos.broker import submitting
from tests.rabbitmq import RabbitMQ, vhost
from tests.system.platform import REPOSITORY, Client, Platform


@pytest.fixture(scope="module")
def platform(broker: RabbitMQ) -> Iterator[Platform]:
    with tempfile.TemporaryDirectory(prefix="sutazai-broker-") as folder, vhost(broker) as url:
        Path(folder).chmod(0o755)
        with Platform(Path(folder) / "home", SUTAZAI_AMQP_URL=url) as platform:
            yield platform


def test_wake_ups_travel_through_the_task_queue(platform: Platform) -> None:
    async def scenario() -> None:
        connection = await aio_pika.connect(platform.environ["SUTAZAI_AMQP_URL"])
        try:
            channel = await connection.channel()
            copies = await channel.declare_queue(exclusive=True)
            await copies.bind("agents", "task.*")
            async with Client(platform.api) as client:
                task = await client.execute("everything", "echo", {"message": "hello"}, wait=True, priority=7)
            assert task["status"] == "succeeded"
            async with asyncio.timeout(10):
                while (message := await copies.get(fail=False)) is None:
                    await asyncio.sleep(0.01)
            assert (message.routing_key, message.priority, message.delivery_mode) == ("task.everything", 7, 2)
            assert message.content_type == "application/cloudevents+json"
        finally:
            await connection.close()

    asyncio.run(scenario())


def test_a_second_keeper_changes_nothing_and_takes_over_within_five_seconds(platform: Platform) -> None:
    environ = {
        **os.environ,
        "SUTAZAI_HOME": str(platform.home),
        "SUTAZAI_POSTGRES_URL_FILE": str(platform.home / "keys" / "postgres.url"),
        "SUTAZAI_REDIS_URL_FILE": str(platform.home / "keys" / "redis.url"),
        "SUTAZAI_AMQP_URL": str(platform.environ["SUTAZAI_AMQP_URL"]),
    }
    serve = [sys.executable, "-m", "functions", "serve", "keep", "--host", "127.0.0.1", "--port", "0"]
    log = (platform.home.parent / "keeper.log").open("wb")
    keeper = subprocess.Popen(serve, cwd=REPOSITORY, env=environ, stdout=log, stderr=log)

    async def scenario() -> None:
        record = await asyncpg.connect(platform.postgres_url, server_settings={"search_path": "sutazai"})
        try:
            async with Client(platform.api) as client, submitting(client, every_s=0.02) as found:
                await _standing_by(record)
                [gateway] = platform.pids()["gateway"]
                held = await record.fetchval(_HOLDER)
                assert held is not None
                await record.execute("SELECT pg_terminate_backend($1)", held)
                async with asyncio.timeout(5):
                    while (await record.fetchval(_HOLDER)) in (None, held):
                        await asyncio.sleep(0.02)
                assert platform.pids()["gateway"] == [gateway]
                await asyncio.sleep(1)
            async with asyncio.timeout(15):
                while await record.fetchval(_OPEN, found.ids):
                    await asyncio.sleep(0.05)
            assert found.refused == 0
            effects = await record.fetch("SELECT count(*) AS n FROM ledger WHERE execution_id = ANY($1)", found.ids)
            assert effects[0]["n"] == len(found.ids)
        finally:
            await record.close()

    try:
        asyncio.run(scenario())
    finally:
        keeper.terminate()
        keeper.wait(30)
        log.close()


_OPEN = "SELECT count(*) FROM agent_executions WHERE id = ANY($1) AND finished_at IS NULL"
_LOCKS = (
    "SELECT l.pid FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory'"
    " AND a.application_name = 'sutazai-keeper' AND a.datname = current_database()"
)
_HOLDER = f"{_LOCKS} AND l.granted"


async def _standing_by(record: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Two keepers are connected, of whom one holds the lock."""
    async with asyncio.timeout(20):
        while (
            await record.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sutazai-keeper'"
                " AND datname = current_database()"
            )
        ) < 2:
            await asyncio.sleep(0.05)


def test_a_queue_with_other_arguments_refuses_the_start_and_is_named(amqp_url: str) -> None:
    async def declare_without_priorities(url: str) -> None:
        connection = await aio_pika.connect(url)
        arguments: dict[str, Any] = {"x-message-ttl": 3_600_000, "x-dead-letter-exchange": "task_queue.dead"}
        await (await connection.channel()).declare_queue("task_queue", durable=True, arguments=arguments)
        await connection.close()

    with tempfile.TemporaryDirectory(prefix="sutazai-mismatch-") as folder:
        Path(folder).chmod(0o755)
        asyncio.run(declare_without_priorities(amqp_url))
        with pytest.raises(RuntimeError, match=r"RabbitMQ has something otherwise.*'x-max-priority' for queue 'task_q"):
            Platform(Path(folder) / "home", SUTAZAI_AMQP_URL=amqp_url).start()
