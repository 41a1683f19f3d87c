"""What the task of a document does: reads it, cuts it, and has each chunk embedded and written, once."""

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from pydantic import BaseModel

from shared.documents.chunks import Chunk, chunks
from shared.documents.reading import read
from shared.documents.removing import remove_chunks
from shared.documents.text import Text
from shared.errors import Conflict, NotFound, SutazaiError, ToolError, Unavailable
from shared.function import Run
from shared.ports.documents import UNTITLED, Indexing, Job, chunk_id, object_key
from shared.ports.objects import Objects
from shared.ports.tasks import TaskError
from shared.ports.vector_engine import Backend, Metadata
from shared.ports.vector_service import VectorService
from shared.ports.vectors import Collections, Kept, NewVector, Vectors

# Of collections that are made for a document.
BACKENDS: tuple[Backend, ...] = ("faiss", "qdrant")
AT_ONCE = 32
# An attempt ends in time for the next one to go on, whatever bounds it.
ATTEMPT_S = 420.0
_LOOKED_UP = 1000
_SAID_OF_HEADING = 100


class Indexed(BaseModel):
    """`embedded`: how many of the chunks this attempt had to embed; the others were there already."""

    document_id: UUID
    collection: str
    chunks: int
    embedded: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexer:
    work: Indexing
    objects: Objects
    collections: Collections
    vectors: Vectors
    service: VectorService

    async def index(self, document_id: UUID, run: Run) -> Indexed:
        """Raises ToolError for what cannot be indexed, and Unavailable where another attempt has to go on."""
        job = await self.work.begin(run.user_id, document_id, run.execution_id)
        if job is None:
            raise ToolError(f"no document {document_id!s}; it may have been deleted")
        try:
            return await self._index(job, run, until=time.monotonic() + ATTEMPT_S)
        except SutazaiError as error:
            if not error.retryable:
                said = TaskError(code=error.code, message=error.message)
                await self.work.failed(job.user_id, job.document_id, run.execution_id, said)
            raise

    async def _index(self, job: Job, run: Run, *, until: float) -> Indexed:
        run.progress(0, "reading")
        text = read(await self._original(job), file_name=job.file_name, media_type=job.media_type)
        cut = list(chunks(text))
        collection = await self._place(job, len(cut))
        title = job.title or text.title or job.file_name or UNTITLED
        missing = await self._missing(job, collection, cut)
        there = len(cut) - len(missing)
        run.progress(100 * there / len(cut), f"{there} of {len(cut)} chunks are indexed")
        for batch in _batches(missing):
            await self._write(job, collection, batch, title)
            there += len(batch)
            run.progress(100 * there / len(cut), f"{there} of {len(cut)} chunks are indexed")
            if there < len(cut) and time.monotonic() > until:
                raise Unavailable(f"{there} of {len(cut)} chunks are indexed; the next attempt goes on")
        await self._finish(job, run, collection, text, len(cut))
        return Indexed(document_id=job.document_id, collection=collection.name, chunks=len(cut), embedded=len(missing))

    async def _original(self, job: Job) -> bytes:
        try:
            content, _ = await self.objects.get(object_key(job.user_id, job.document_id))
        except NotFound:
            raise ToolError("its original is no longer there; send the document again") from None
        return content

    async def _place(self, job: Job, count: int) -> Kept:
        """Where its chunks go; what an earlier attempt has left elsewhere goes from there."""
        collection = await self._collection(job)
        if collection.model is None and collection.seq == 0:
            collection = await self._pinned(collection)
        if collection.model is None:
            raise ToolError(f"{collection.name!r} holds its owner's own vectors, and none of texts; name another one")
        if job.placed_in not in (None, collection.id) and (
            before := await self.work.collection_of(job.user_id, job.placed_in)
        ):
            await self._delete(job, before, job.placed_in, range(job.chunks))
        if not await self.work.place(job, collection, count):
            raise _deleted(job)
        return collection

    async def _collection(self, job: Job) -> Kept:
        try:
            return await self.collections.find(job.user_id, job.collection)
        except NotFound:
            model = (await self.service.models())[0]
        refused: Conflict | None = None
        try:
            await self.collections.create(
                job.user_id,
                job.collection,
                dimension=model.dimension,
                metric="cosine",
                model=model.id,
                backends=BACKENDS,
            )
        except Conflict as exc:
            refused = exc
        try:
            return await self.collections.find(job.user_id, job.collection)
        except NotFound:
            raise ToolError(refused.message if refused else f"no collection {job.collection!r}") from None

    async def _pinned(self, collection: Kept) -> Kept:
        """One that nothing was ever written to takes on the model of its first texts."""
        model = (await self.service.models())[0]
        if model.dimension != collection.dimension:
            raise ToolError(
                f"{collection.name!r} takes {collection.dimension} numbers, and {model.name!r} gives {model.dimension}"
            )
        await self.collections.pin(collection, model.id)
        return await self.collections.find(collection.user_id, collection.name)

    async def _missing(self, job: Job, collection: Kept, cut: Sequence[Chunk]) -> list[Chunk]:
        """Those that no earlier attempt has written."""
        found: list[Chunk] = []
        for at in range(0, len(cut), _LOOKED_UP):
            page = cut[at : at + _LOOKED_UP]
            kept = await self.work.kept(collection, [chunk_id(job.document_id, each.position) for each in page])
            found += [each for each in page if kept.get(chunk_id(job.document_id, each.position)) != _digest(each)]
        return found

    async def _write(self, job: Job, collection: Kept, batch: Sequence[Chunk], title: str) -> None:
        try:
            embedded = await self.service.embed([_said(chunk) for chunk in batch], model=collection.model)
        except NotFound:
            raise ToolError(f"the model of {collection.name!r}, {collection.model!r}, is not here any more") from None
        rows = [
            NewVector(
                id=chunk_id(job.document_id, chunk.position),
                vector=vector,
                metadata=_metadata(job, chunk, title),
                text=chunk.text,
            )
            for chunk, vector in zip(batch, embedded.vectors, strict=True)
        ]
        await self.vectors.upsert(
            job.user_id, collection.name, rows, model=embedded.model.id, collection_id=collection.id
        )
        # In this order whoever deletes the document meanwhile either finds these, or is found here.
        if not await self.work.is_there(job):
            await self._delete(job, collection.name, collection.id, [chunk.position for chunk in batch])
            raise _deleted(job)

    async def _delete(self, job: Job, collection: str, collection_id: UUID | None, positions: Sequence[int]) -> None:
        place = (job.user_id, collection, job.document_id)
        await remove_chunks(self.vectors, *place, positions, collection_id=collection_id)

    async def _finish(self, job: Job, run: Run, collection: Kept, text: Text, count: int) -> None:
        # An older version may have cut it into more.
        if job.placed_in == collection.id and job.chunks > count:
            await self._delete(job, collection.name, collection.id, range(count, job.chunks))
        done = await self.work.indexed(job, run.execution_id, title=text.title)
        if not done and not await self.work.is_there(job):
            raise _deleted(job)


def _batches(missing: Sequence[Chunk]) -> Iterator[Sequence[Chunk]]:
    return (missing[at : at + AT_ONCE] for at in range(0, len(missing), AT_ONCE))


def _digest(chunk: Chunk) -> bytes:
    return hashlib.sha256(chunk.text.encode()).digest()


def _said(chunk: Chunk) -> str:
    """What is embedded: a part of a text says what it is about only together with what it stands under."""
    return f"{chunk.heading[-_SAID_OF_HEADING:]}\n{chunk.text}" if chunk.heading else chunk.text


def _metadata(job: Job, chunk: Chunk, title: str) -> Metadata:
    ours: dict[str, str | int] = {
        "document_id": str(job.document_id),
        "title": title,
        "position": chunk.position,
        **({"heading": chunk.heading} if chunk.heading else {}),
        **({"page": chunk.page} if chunk.page else {}),
    }
    return {**job.metadata, **ours}


def _deleted(job: Job) -> ToolError:
    return ToolError(f"the document {job.document_id!s} was deleted")
