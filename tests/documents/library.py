"""For tests: documents in the real record and a real folder; a vector service that embeds by counting letters."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID, uuid4

import numpy as np

from functions.documents._received import FileDocument, TextDocument
from functions.documents.delete_document import DeletedDocument, DeleteDocument, delete_document
from functions.documents.index_document import IndexDocument, index_document
from functions.documents.receive_document import ReceivedDocument, ReceiveDocument, receive_document
from functions.documents.sweep_documents import sweep_documents
from shared.config import Settings
from shared.documents.indexing import Indexed
from shared.errors import NotFound, Unavailable
from shared.function import Call, Caller
from shared.payload import Upload
from shared.ports.documents import Document, Documents, Indexing, Leavings
from shared.ports.embedders import Kind
from shared.ports.objects import Objects
from shared.ports.tasks import Outcome, Queue, Tasks
from shared.ports.vector_service import Embedded, EngineState, Found, Model, Query
from shared.ports.vectors import Collections, Vectors
from shared.stores.postgres.database import Database
from shared.wiring import Ports
from tests.fakes import FakeRun
from tests.graph.places import person

T = TypeVar("T")
LETTERS = Model(name="letters", id="letters-26", dimension=26)


@dataclass
class LetterService:
    """`asked`: the texts that were embedded. After `until` of them it cannot be reached."""

    asked: list[str] = field(default_factory=list)
    until: int | None = None
    before_each: Callable[[], Awaitable[None]] | None = None

    async def embed(self, texts: Sequence[str], *, model: str | None = None, kind: Kind = "passage") -> Embedded:
        if model not in (None, LETTERS.id, LETTERS.name):
            raise NotFound(f"no model {model!r}")
        if self.before_each is not None:
            await self.before_each()
        if self.until is not None and len(self.asked) >= self.until:
            raise Unavailable("the vector service cannot be reached")
        self.asked += texts
        counts = np.array([[1 + text.lower().count(chr(97 + n)) for n in range(26)] for text in texts], np.float32)
        return Embedded(model=LETTERS, vectors=counts / np.linalg.norm(counts, axis=1, keepdims=True))

    async def models(self) -> Sequence[Model]:
        return [LETTERS]

    async def engines(self) -> Sequence[EngineState]:
        return []

    async def search(self, query: Query) -> Found:
        raise Unavailable("it only embeds")


@dataclass(frozen=True)
class Library:
    ports: Ports
    database: Database
    ada: UUID
    bob: UUID
    service: LetterService
    documents: Documents
    objects: Objects
    collections: Collections
    vectors: Vectors
    tasks: Tasks

    async def give(self, text: str, *, key: str | None = None, **more: Any) -> ReceivedDocument:
        return await self.receive(TextDocument(text=text, **more), key=key)

    async def give_file(self, content: bytes, name: str, kind: str = "", **more: Any) -> ReceivedDocument:
        return await self.receive(FileDocument(file=Upload(name, kind, content), **more))

    async def receive(self, given: TextDocument | FileDocument, *, key: str | None = None) -> ReceivedDocument:
        return await receive_document(
            ReceiveDocument(given),
            caller=self.caller(self.ada),
            call=Call(request_id="r", idempotency_key=key),
            documents=self.documents,
            objects=self.objects,
        )

    @staticmethod
    def caller(user_id: UUID) -> Caller:
        return Caller(user_id=user_id, session_id=uuid4(), roles=frozenset({"user"}), scopes=frozenset())

    async def index(self, received: ReceivedDocument, *, run: FakeRun | None = None) -> Indexed:
        """As the worker does, but here."""
        return await index_document(
            IndexDocument(document_id=received.document_id),
            run=run or FakeRun(user_id=self.ada, execution_id=received.task_id),
            work=await self.ports.open(Indexing),
            objects=self.objects,
            collections=self.collections,
            vectors=self.vectors,
            service=self.service,
        )

    async def seen(self, received: ReceivedDocument) -> Document:
        found = await self.documents.get(self.ada, received.document_id)
        assert found is not None
        return found

    async def delete(self, document_id: UUID, *, by: UUID | None = None) -> DeletedDocument:
        return await delete_document(
            DeleteDocument(document_id=document_id),
            caller=self.caller(by or self.ada),
            documents=self.documents,
            tasks=self.tasks,
            vectors=self.vectors,
        )

    async def sweep(self, *, later: str = "0") -> None:
        """As if so much time had passed since what was deleted and noted."""
        for table, column in (("documents", "deleted_at"), ("object_removals", "due_at")):
            await self.database.execute(f"UPDATE {table} SET {column} = {column} - $1::text::interval", later)
        await sweep_documents(leavings=await self.ports.open(Leavings), vectors=self.vectors, objects=self.objects)

    async def keys(self) -> list[str]:
        return [stored.key async for stored in self.objects.list("users/")]

    async def rows(self, collection: str = "documents") -> list[dict[str, Any]]:
        query = """
        SELECT vector_id, text, metadata FROM vectors
        WHERE user_id = $1 AND collection_name = $2 AND content_hash IS NOT NULL ORDER BY number"""
        return [dict(row) for row in await self.database.fetch(query, self.ada, collection)]

    async def events(self) -> list[dict[str, Any]]:
        query = "SELECT type, data FROM events WHERE type LIKE 'document.%' ORDER BY position"
        return [{"type": row["type"], **row["data"]} for row in await self.database.fetch(query)]

    async def end_task(self, received: ReceivedDocument) -> None:
        """The worker's part, once its action has returned."""
        queue = await self.ports.open(Queue)
        worker = await queue.join(["documents"], slot=None)
        for task in await queue.claim(worker, "documents", ["index_document"], 100):
            await queue.finish(task, Outcome("succeeded", value={}))


@asynccontextmanager
async def library(settings: Settings) -> AsyncIterator[Library]:
    async with Ports(settings) as ports:
        database = await ports.open(Database)
        yield Library(
            ports=ports,
            database=database,
            ada=await person(database),
            bob=await person(database),
            service=LetterService(),
            documents=await ports.open(Documents),
            objects=await ports.open(Objects),
            collections=await ports.open(Collections),
            vectors=await ports.open(Vectors),
            tasks=await ports.open(Tasks),
        )


def play(settings: Settings, scenario: Callable[[Library], Awaitable[T]]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(120), library(settings) as here:
            return await scenario(here)

    return asyncio.run(bounded())
