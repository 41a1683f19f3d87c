"""A process of a new version that is there before the migrations: it waits for them, and nothing is lost meanwhile."""

import asyncio

import pytest

from events.users import UserDisabled
from shared import cloud_events
from shared.config import Settings
from shared.consumer import Consumer
from shared.errors import Unavailable
from shared.function import spec_of
from shared.stores.postgres.database import Database, connect
from shared.stores.postgres.migrate import migrations
from shared.stores.postgres.schema import newest
from shared.wiring import Ports

LAST = migrations()[-1]


async def _statement(settings: Settings, statement: str, *values: object) -> None:
    connection = await connect(settings.postgres_url)
    try:
        await connection.execute(statement, *values)
    finally:
        await connection.close()


async def _forget(settings: Settings) -> None:
    await _statement(settings, "DELETE FROM migrations WHERE number = $1", LAST.number)


async def _migrate(settings: Settings) -> None:
    row = (LAST.number, LAST.name, LAST.checksum)
    await _statement(settings, "INSERT INTO migrations (number, name, checksum) VALUES ($1, $2, $3)", *row)


def test_the_last_migration_is_what_a_version_needs() -> None:
    assert newest() == LAST.number


def test_a_database_that_lags_behind_cannot_be_used_until_it_does_not(settings: Settings) -> None:
    async def scenario() -> None:
        await _forget(settings)
        async with Ports(settings) as ports:
            database = await ports.open(Database)
            with pytest.raises(Unavailable, match=f"at migration {LAST.number - 1}, and this version needs"):
                await database.fetch("SELECT 1 AS one")
            await _migrate(settings)
            assert [row["one"] for row in await database.fetch("SELECT 1 AS one")] == [1]

    asyncio.run(scenario())


def test_an_empty_database_cannot_be_used(settings: Settings) -> None:
    async def scenario() -> None:
        await _statement(settings, "DROP SCHEMA sutazai CASCADE")
        async with Ports(settings) as ports:
            with pytest.raises(Unavailable, match="at migration 0"):
                await (await ports.open(Database)).fetch("SELECT 1")

    asyncio.run(scenario())


def test_a_database_of_a_newer_version_will_do(settings: Settings) -> None:
    async def scenario() -> None:
        newer = "INSERT INTO migrations (number, name, checksum) VALUES (9999, 'newer', '')"
        await _statement(settings, newer)
        async with Ports(settings) as ports:
            assert await (await ports.open(Database)).fetchval("SELECT 1") == 1

    asyncio.run(scenario())


def test_an_event_that_comes_too_early_comes_again_and_is_no_dead_letter(settings: Settings) -> None:
    async def scenario() -> None:
        from functions.tasks.cancel_tasks_of_disabled_user import cancel_tasks_of_disabled_user

        event = UserDisabled.model_validate({"user_id": "00000000-0000-0000-0000-000000000001"})
        envelope = cloud_events.envelope(event, source="/functions/test", subject="s")
        await _forget(settings)
        async with Ports(settings) as ports:
            consumer = Consumer(spec_of(cancel_tasks_of_disabled_user))
            await consumer.open(ports)
            with pytest.raises(Unavailable):
                await consumer.handle(envelope)
            await _migrate(settings)
            await consumer.handle(envelope)
            assert await (await ports.open(Database)).fetchval("SELECT count(*) FROM dead_letters") == 0

    asyncio.run(scenario())
