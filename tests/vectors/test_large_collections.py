"""The record of large collections, and of those that are being deleted, which may take long."""

import asyncio
from typing import Any

import asyncpg
import pytest

from shared.config import Settings
from shared.ports.vector_engine import Space
from shared.stores.postgres.vector_truth import _SINCE
from tests.vectors.test_truth import Here, create, play


def test_changes_are_read_in_the_order_of_an_index(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        await create(here, here.ada, "others")
        for name in ("papers", "others"):
            await here.database.execute(
                """
                INSERT INTO vectors (user_id, collection_name, vector_id, number, seq, embedding, content_hash)
                SELECT $1, $2, n::text, n, n + 1, '\\x00', '\\x00' FROM generate_series(0, 9999) AS n""",
                here.ada,
                name,
            )
        await here.database.execute("VACUUM ANALYZE vectors")
        kept = await here.collections.find(here.ada, "papers")
        for seq in (0, 5000, 9990):
            found = await here.database.fetch(f"EXPLAIN {_SINCE}", kept.id, seq, 1000)
            plan = "\n".join(row[0] for row in found)
            assert "Index Scan using vectors_seq" in plan and "Sort" not in plan

    play(settings, scenario)


def test_a_collection_whose_vectors_take_long_to_delete_is_deleted(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = asyncpg.create_pool

    def impatient(*arguments: Any, **named: Any) -> Any:
        return opened(*arguments, **{**named, "command_timeout": 2})

    monkeypatch.setattr(asyncpg, "create_pool", impatient)

    async def scenario(here: Here) -> None:
        await here.upsert("a")
        await here.database.execute(
            """
            CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_sleep(2.5); RETURN old; END $$"""
        )
        await here.database.execute(
            "CREATE TRIGGER slowly BEFORE DELETE ON vectors FOR EACH ROW EXECUTE FUNCTION slowly()"
        )
        assert await here.collections.delete(here.ada, "papers")
        assert await here.truth.collections() == []

    play(settings, scenario)


def test_how_far_an_engine_is_with_a_collection_that_is_being_deleted_is_nothing(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        kept = await here.collections.find(here.ada, "papers")
        space = Space(collection_id=kept.id, epoch=0, dimension=3, metric="l2")
        waiting = "SELECT true FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        async with here.database.transaction() as connection:
            await connection.execute("DELETE FROM vector_collections WHERE id = $1", kept.id)
            noting = asyncio.create_task(here.truth.note(space, "faiss", applied_seq=1))
            while not await here.database.fetchval(waiting):
                assert not noting.done()
                await asyncio.sleep(0.01)
        await noting
        assert await here.truth.progress("faiss") == {}

    play(settings, scenario)
