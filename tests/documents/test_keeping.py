"""Documents are kept for as long as their owners want them: listed, deleted whole, and swept after a crash."""

from uuid import UUID, uuid4

import pytest

from functions.documents._received import TextDocument, new_document
from shared.config import Settings
from shared.errors import IdempotencyMismatch, Invalid, NotFound, ToolError
from shared.ports.documents import object_key
from shared.ports.users import Users
from tests.documents.library import Library, play

LONG = "\n\n".join(f"Paragraph {number} says what there is to say about number {number}. " * 5 for number in range(200))


def test_a_deleted_document_takes_its_chunks_its_task_and_its_original_with_it(settings: Settings) -> None:
    async def scenario(here: Library) -> None:
        kept, gone = await here.give("kept"), await here.give(LONG)
        for each in (kept, gone):
            await here.index(each)
        with pytest.raises(NotFound):
            await here.delete(gone.document_id, by=here.bob)
        await here.delete(gone.document_id)
        assert [row["text"] for row in await here.rows()] == ["kept"]
        assert await here.documents.get(here.ada, gone.document_id) is None
        task = await here.tasks.get(here.ada, gone.task_id)
        assert task is not None and task.status == "cancelled"
        with pytest.raises(NotFound):
            await here.delete(gone.document_id)
        await here.sweep(later="2 minutes")
        assert await here.keys() == [object_key(here.ada, kept.document_id)]
        assert await here.database.fetchval("SELECT count(*) FROM documents") == 1
        assert [event["type"] for event in await here.events()][-1] == "document.deleted.v1"

    play(settings, scenario)


def test_a_document_that_is_deleted_while_it_is_indexed_leaves_nothing(settings: Settings) -> None:
    async def scenario(here: Library) -> None:
        received = await here.give(LONG)

        async def deleting() -> None:
            if len(here.service.asked) == 64:
                await here.delete(received.document_id)

        here.service.before_each = deleting
        with pytest.raises(ToolError, match="was deleted"):
            await here.index(received)
        assert await here.rows() == [] and len(here.service.asked) == 96
        with pytest.raises(ToolError, match="no document"):
            await here.index(received)

    play(settings, scenario)


def test_the_sweep_waits_for_whoever_may_still_write(settings: Settings) -> None:
    async def scenario(here: Library) -> None:
        received = await here.give("words")
        await here.database.execute("UPDATE documents SET deleted_at = now() - interval '1 day'")
        await here.sweep()
        assert await here.database.fetchval("SELECT count(*) FROM documents") == 1
        await here.tasks.cancel(here.ada, received.task_id)
        await here.sweep()
        assert await here.database.fetchval("SELECT count(*) FROM documents") == 0

    play(settings, scenario)


def test_an_upload_that_came_to_nothing_is_removed_and_no_other(settings: Settings) -> None:
    async def scenario(here: Library) -> None:
        received, lost = await here.give("words"), uuid4()
        await here.documents.expect(here.ada, lost)
        await here.objects.put(object_key(here.ada, lost), b"lost")
        await here.documents.expect(here.ada, received.document_id)
        await here.sweep()
        assert len(await here.keys()) == 2
        await here.sweep(later="2 hours")
        assert await here.keys() == [object_key(here.ada, received.document_id)]

    play(settings, scenario)


def test_an_erased_user_leaves_no_document_and_no_original(settings: Settings) -> None:
    async def scenario(here: Library) -> None:
        for text in ("one", LONG):
            await here.index(await here.give(text))
        waiting = await here.give("not indexed yet")
        assert len(await here.keys()) == 3
        users = await here.ports.open(Users)
        assert await users.erase(here.ada)
        await here.sweep()
        assert await here.keys() == []
        for table in ("documents", "vectors", "vector_collections", "agent_executions", "object_removals"):
            assert await here.database.fetchval(f"SELECT count(*) FROM {table}") == 0, table
        with pytest.raises(NotFound):
            await here.give("too late")
        await here.sweep(later="2 hours")
        assert await here.keys() == [] and waiting.status == "received"

    play(settings, scenario)


def test_the_same_idempotency_key_is_the_same_document(settings: Settings) -> None:
    async def scenario(here: Library) -> None:
        first, again, other = [await here.give("words", key=key) for key in ("k", "k", "l")]
        assert first == again and other.document_id != first.document_id
        assert await here.database.fetchval("SELECT count(*) FROM agent_executions") == 2

    play(settings, scenario)


def test_a_key_whose_document_was_deleted_brings_no_original_back(settings: Settings) -> None:
    async def scenario(here: Library) -> None:
        received = await here.give("words", key="k")
        await here.delete(received.document_id)
        await here.sweep()
        assert await here.keys() == []
        with pytest.raises(NotFound, match="was deleted"):
            await here.give("words", key="k")
        await here.sweep()
        assert await here.keys() == [] and await here.database.fetchval("SELECT count(*) FROM documents") == 1

    play(settings, scenario)


def test_an_original_that_is_stored_again_for_a_deleted_document_is_removed(settings: Settings) -> None:
    async def scenario(here: Library) -> None:
        received = await here.give("words")
        await here.delete(received.document_id)
        await here.sweep()
        # Whoever does this is gone before it is received.
        await here.documents.expect(here.ada, received.document_id)
        await here.objects.put(object_key(here.ada, received.document_id), b"words")
        await here.sweep(later="2 hours")
        assert await here.keys() == []

    play(settings, scenario)


def test_an_original_that_two_have_expected_stays(settings: Settings) -> None:
    async def scenario(here: Library) -> None:
        received = await here.give("words", key="k")
        key = object_key(here.ada, received.document_id)
        await here.database.execute("INSERT INTO object_removals VALUES ($1, now() + interval '1 hour')", key)
        new, _ = new_document(TextDocument(text="words"), here.ada, received.document_id)
        assert (await here.documents.receive(new)).task_id == received.task_id
        await here.sweep(later="2 hours")
        assert await here.keys() == [key]

    play(settings, scenario)


@pytest.mark.parametrize("text", ["other", "other words"])
def test_a_key_that_was_another_documents_writes_nothing_over_it(settings: Settings, text: str) -> None:
    async def scenario(here: Library) -> None:
        received = await here.give("words", key="k")
        with pytest.raises(IdempotencyMismatch):
            await here.give(text, key="k")
        content, _ = await here.objects.get(object_key(here.ada, received.document_id))
        assert content == b"words" and await here.give("words", key="k") == received

    play(settings, scenario)


def test_documents_are_listed_page_by_page_newest_first(settings: Settings) -> None:
    async def scenario(here: Library) -> None:
        given = [await here.give(f"text {number}", collection=f"c{number % 2}") for number in range(5)]
        await here.index(given[0])

        async def listed(**more: str | None) -> list[UUID]:
            found: list[UUID] = []
            cursor: str | None = None
            while True:
                asked = {"status": None, "collection": None, **more}
                page = await here.documents.list(here.ada, **asked, limit=2, cursor=cursor)  # type: ignore[arg-type]
                found += [one.document_id for one in page.documents]
                if (cursor := page.next_cursor) is None:
                    return found

        ids = [each.document_id for each in reversed(given)]
        assert await listed() == ids
        assert await listed(collection="c1") == [given[3].document_id, given[1].document_id]
        assert await listed(status="indexed") == [given[0].document_id]
        assert (await here.documents.list(here.bob, status=None, collection=None, limit=2, cursor=None)).documents == []
        with pytest.raises(Invalid):
            await here.documents.list(here.ada, status=None, collection=None, limit=2, cursor="x")

    play(settings, scenario)


def test_titles_names_and_metadata_lie_sealed_in_the_record(settings: Settings) -> None:
    async def scenario(here: Library) -> None:
        await here.give("words", title="A secret title", metadata={"a": "secret"})
        row = await here.database.fetchrow("SELECT title, metadata FROM documents")
        assert row is not None and row["title"][:1] == row["metadata"][:1] == b"\0"

    play(settings, scenario)
