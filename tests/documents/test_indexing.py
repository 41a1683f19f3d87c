"""Documents are kept, cut, embedded once and found by their chunks; what goes wrong says so, and leaves nothing."""

from uuid import uuid4

import numpy as np
import pytest

from shared.catalog import all_functions
from shared.child import needed
from shared.children import runs_in_child
from shared.config import Settings
from shared.errors import NotFound, ToolError, Unavailable
from shared.function import Tool
from shared.ports.documents import object_key
from shared.ports.vectors import NewVector
from tests.documents.files import pdf
from tests.documents.library import LETTERS, Library, play
from tests.fakes import FakeRun

LONG = "\n\n".join(f"Paragraph {number} says what there is to say about number {number}. " * 5 for number in range(200))


def test_a_text_is_found_by_its_chunks(settings: Settings) -> None:
    async def scenario(here: Library) -> None:
        received = await here.give("# Title\n\nSome words.", metadata={"team": "red", "years": [1, 2]})
        assert received.status == "received"
        assert (await here.index(received)).model_dump() == {
            "document_id": received.document_id,
            "collection": "documents",
            "chunks": 1,
            "embedded": 1,
        }
        collection = await here.collections.find(here.ada, "documents")
        assert (collection.model, collection.dimension, collection.metric) == (LETTERS.id, 26, "cosine")
        assert await here.rows() == [
            {
                "vector_id": f"{received.document_id}:0",
                "text": "# Title\n\nSome words.",
                "metadata": {
                    "team": "red",
                    "years": [1, 2],
                    "document_id": str(received.document_id),
                    "title": "Title",
                    "position": 0,
                    "heading": "Title",
                },
            }
        ]
        assert here.service.asked == ["Title\n# Title\n\nSome words."]
        found = await here.seen(received)
        assert (found.status, found.title, found.chunks, found.error) == ("indexed", "Title", 1, None)
        about = {
            "document_id": str(received.document_id),
            "user_id": str(here.ada),
            "task_id": str(received.task_id),
            "collection": "documents",
        }
        assert await here.events() == [
            {"type": "document.received.v1", **about, "title": "Untitled", "chunks": 0},
            {"type": "document.indexed.v1", **about, "title": "Title", "chunks": 1},
        ]
        content, _ = await here.objects.get(object_key(here.ada, received.document_id))
        assert content == b"# Title\n\nSome words."

    play(settings, scenario)


def test_a_file_keeps_its_name_and_pages(settings: Settings) -> None:
    async def scenario(here: Library) -> None:
        received = await here.give_file(pdf(["First page", "Second"]), "C:\\tmp\\..\\re\u202eport.pdf", "text/html")
        await here.index(received)
        found = await here.seen(received)
        assert (found.file_name, found.media_type, found.title) == ("report.pdf", "application/pdf", "report.pdf")
        assert [row["metadata"]["page"] for row in await here.rows()] == [1]

    play(settings, scenario)


def test_an_attempt_goes_on_where_the_one_before_was_lost(settings: Settings) -> None:
    async def scenario(here: Library) -> None:
        received = await here.give(LONG)
        here.service.until = 64
        with pytest.raises(Unavailable):
            await here.index(received)
        assert len(await here.rows()) == len(here.service.asked) == 64
        assert (await here.seen(received)).status == "received"
        here.service.until = None
        run = FakeRun(user_id=here.ada, execution_id=received.task_id, attempt=2)
        done = await here.index(received, run=run)
        assert len(here.service.asked) == len(set(here.service.asked)) == done.chunks == len(await here.rows())
        assert done.embedded == done.chunks - 64
        assert run.reported == [
            (0, "reading"),
            *((count / done.chunks * 100, f"{count} of {done.chunks} chunks are indexed") for count in (64, 96, 100)),
        ]
        assert [event["type"] for event in await here.events()] == ["document.received.v1", "document.indexed.v1"]

    play(settings, scenario)


def test_an_attempt_that_takes_long_leaves_the_rest_to_the_next(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.documents.indexing.ATTEMPT_S", 0.0)

    async def scenario(here: Library) -> None:
        received = await here.give(LONG)
        for _ in range(3):
            with pytest.raises(Unavailable, match="the next attempt goes on"):
                await here.index(received)
        assert len(here.service.asked) == len(await here.rows()) == 96

    play(settings, scenario)


def test_indexing_once_more_changes_nothing_and_tells_nobody(settings: Settings) -> None:
    async def scenario(here: Library) -> None:
        received = await here.give(LONG)
        first = await here.index(received)
        seq = (await here.collections.find(here.ada, "documents")).seq
        again = await here.index(received)
        assert (again.chunks, again.embedded) == (first.chunks, 0)
        assert (await here.collections.find(here.ada, "documents")).seq == seq
        assert len(await here.events()) == 2

    play(settings, scenario)


def test_a_file_that_cannot_be_read_fails_and_says_why(settings: Settings) -> None:
    async def scenario(here: Library) -> None:
        received = await here.give_file(b"%PDF-1.4 broken", "x.pdf")
        with pytest.raises(ToolError, match="PDF"):
            await here.index(received)
        await here.end_task(received)
        found = await here.seen(received)
        assert found.status == "failed" and found.error is not None
        assert found.error.code == "TOOL_ERROR" and "PDF" in found.error.message
        assert await here.rows() == []

    play(settings, scenario)


def test_a_cancelled_task_is_a_failed_document_and_another_one_mends_it(settings: Settings) -> None:
    async def scenario(here: Library) -> None:
        received = await here.give("words")
        await here.tasks.cancel(here.ada, received.task_id)
        found = await here.seen(received)
        assert found.status == "failed" and found.error is not None and found.error.code == "CANCELLED"
        later = FakeRun(user_id=here.ada, execution_id=uuid4())
        await here.index(received, run=later)
        found = await here.seen(received)
        assert (found.status, found.task_id) == ("indexed", later.execution_id)

    play(settings, scenario)


def test_a_collection_of_its_owners_own_vectors_takes_no_documents(settings: Settings) -> None:
    async def scenario(here: Library) -> None:
        backends = ["faiss"]
        await here.collections.create(here.ada, "own", dimension=2, metric="l2", model=None, backends=backends)  # type: ignore[arg-type]
        with pytest.raises(ToolError, match="'own' takes 2 numbers, and 'letters' gives 26"):
            await here.index(await here.give("words", collection="own"))
        mine = NewVector(id="a", vector=np.ones(2, np.float32))
        await here.vectors.upsert(here.ada, "own", [mine], model=None)
        with pytest.raises(ToolError, match="its owner's own vectors"):
            await here.index(await here.give("words", collection="own"))
        await here.collections.create(here.ada, "old", dimension=9, metric="l2", model="gone-9", backends=backends)  # type: ignore[arg-type]
        with pytest.raises(ToolError, match="'gone-9', is not here"):
            await here.index(await here.give("words", collection="old"))

    play(settings, scenario)


def test_an_empty_collection_takes_on_the_model_of_its_first_document(settings: Settings) -> None:
    async def scenario(here: Library) -> None:
        await here.collections.create(here.ada, "empty", dimension=26, metric="cosine", model=None, backends=["faiss"])
        await here.index(await here.give("words", collection="empty"))
        assert (await here.collections.find(here.ada, "empty")).model == LETTERS.id

    play(settings, scenario)


def test_a_document_whose_collection_is_gone_can_be_indexed_anew(settings: Settings) -> None:
    async def scenario(here: Library) -> None:
        received = await here.give("words")
        await here.index(received)
        await here.collections.delete(here.ada, "documents")
        found = await here.seen(received)
        assert found.status == "failed" and found.error is not None and "collection" in found.error.message
        assert (await here.index(received)).embedded == 1
        assert (await here.seen(received)).status == "indexed"

    play(settings, scenario)


def test_a_collection_that_is_made_anew_takes_no_chunks_of_a_document_of_the_old_one(settings: Settings) -> None:
    async def scenario(here: Library) -> None:
        received = await here.give(LONG)

        async def making_anew() -> None:
            if len(here.service.asked) == 64:
                await here.collections.delete(here.ada, "documents")
                await here.collections.create(
                    here.ada, "documents", dimension=26, metric="cosine", model=LETTERS.id, backends=["faiss"]
                )

        here.service.before_each = making_anew
        with pytest.raises(NotFound, match="'documents' is gone"):
            await here.index(received)
        assert await here.rows() == []
        await here.end_task(received)
        found = await here.seen(received)
        assert (found.status, found.error and found.error.code) == ("failed", "NOT_FOUND")

    play(settings, scenario)


def test_an_alias_that_points_elsewhere_by_then_takes_the_chunks_with_it(settings: Settings) -> None:
    async def scenario(here: Library) -> None:
        for name in ("first", "second"):
            await here.collections.create(
                here.ada, name, dimension=26, metric="cosine", model=LETTERS.id, backends=["faiss"]
            )
        await here.collections.point(here.ada, "current", "first")
        received = await here.give("words", collection="current")
        await here.index(received)
        await here.collections.point(here.ada, "current", "second")
        await here.index(received)
        assert (len(await here.rows("first")), len(await here.rows("second"))) == (0, 1)

    play(settings, scenario)


def test_no_other_action_sees_the_originals_or_the_key_of_the_vector_service() -> None:
    tools = [spec for spec in all_functions() if isinstance(spec.trigger, Tool)]
    places = {"shared.ports.objects.Objects", "shared.ports.vector_service.VectorService"}
    assert {spec.deployed: needed(spec) for spec in tools if needed(spec)} == {"documents-index-document": places}
    assert [spec.deployed for spec in tools if runs_in_child(spec) and spec.agent == "documents"] == [
        "documents-index-document"
    ]
