"""What documents have to do with one another, in the record; whatever changes it changes its stars with it."""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from shared.ports.document_ties import Content, IndexedDocument, Mention
from shared.ports.documents import chunk_id
from shared.ports.graph import Ref
from shared.ports.vectors import Kept
from shared.stores.postgres.database import Database
from shared.stores.postgres.tie_rows import TieRows

_MOST_TITLES = 20_000
_MOST_COLLECTIONS = 50
_AT_ONCE = 2000

_DUE = """
SELECT user_id, document_id, collection, title, chunks, due_at FROM graph_documents
WHERE due_at <= now() ORDER BY due_at, document_id LIMIT $1"""
_LATER = """
UPDATE graph_documents SET due_at = now() + $4 WHERE user_id = $1 AND document_id = $2 AND due_at = $3"""
_CHUNKS = """
SELECT embedding, text FROM vectors
WHERE user_id = $1 AND collection_name = $2 AND vector_id = ANY ($3) AND content_hash IS NOT NULL
ORDER BY array_position($3, vector_id)"""
_CENTROIDS = """
SELECT document_id, centroid FROM graph_documents
WHERE user_id = $1 AND collection_id = $2 AND centroid IS NOT NULL AND document_id <> $3
    AND document_id = ANY ($4)"""
_SIMILAR = """
SELECT other_id AS id FROM document_similarities WHERE user_id = $1 AND document_id = $2
UNION SELECT document_id FROM document_similarities WHERE user_id = $1 AND other_id = $2"""
_TITLES = f"""
SELECT document_id, title FROM graph_documents WHERE user_id = $1 ORDER BY document_id LIMIT {_MOST_TITLES}"""
_COLLECTIONS = f"""
SELECT DISTINCT collection FROM graph_documents WHERE user_id = $1 ORDER BY 1 LIMIT {_MOST_COLLECTIONS}"""
_KNOWN = """
SELECT 'Task' AS kind, id FROM agent_executions WHERE user_id = $1 AND id = ANY ($2)
UNION ALL SELECT 'Document', document_id FROM graph_documents WHERE user_id = $1 AND document_id = ANY ($2)"""


class PostgresDocumentTies:
    def __init__(self, *, database: Database, rows: TieRows) -> None:
        self._database = database
        self._rows = rows

    async def due(self, *, limit: int) -> Sequence[IndexedDocument]:
        return [
            IndexedDocument(
                user_id=row["user_id"],
                document_id=row["document_id"],
                collection=row["collection"],
                title=self._title(row["user_id"], row),
                chunks=row["chunks"],
                due_at=row["due_at"],
            )
            for row in await self._database.fetch(_DUE, limit)
        ]

    async def later(self, document: IndexedDocument, *, seconds: float) -> None:
        key = (document.user_id, document.document_id, document.due_at)
        await self._database.execute(_LATER, *key, timedelta(seconds=seconds))

    async def content(self, document: IndexedDocument, collection: Kept | None) -> Content:
        if collection is None:
            return Content(collection_id=None, centroid=None, texts=())
        total, texts = np.zeros(collection.dimension), list[str]()
        for start in range(0, document.chunks, _AT_ONCE):
            numbers = range(start, min(start + _AT_ONCE, document.chunks))
            ids = [chunk_id(document.document_id, number) for number in numbers]
            for row in await self._database.fetch(_CHUNKS, document.user_id, collection.name, ids):
                total += np.frombuffer(row["embedding"], "<f4")
                texts.append(row["text"] or "")
        length = float(np.linalg.norm(total))
        centroid = (total / length).astype(np.float32) if texts and length > 0 else None
        return Content(collection_id=collection.id, centroid=centroid, texts=texts)

    async def likeness(
        self, document: IndexedDocument, content: Content, candidates: Collection[UUID]
    ) -> Mapping[UUID, float]:
        if content.centroid is None:
            return {}
        asked = (document.user_id, content.collection_id, document.document_id, list(candidates))
        rows = await self._database.fetch(_CENTROIDS, *asked)
        return {row["document_id"]: _cosine(content.centroid, row["centroid"]) for row in rows}

    async def similar_to(self, document: IndexedDocument) -> Collection[UUID]:
        return {row["id"] for row in await self._database.fetch(_SIMILAR, document.user_id, document.document_id)}

    async def titles(self, user_id: UUID) -> Mapping[UUID, str]:
        rows = await self._database.fetch(_TITLES, user_id)
        return {row["document_id"]: self._title(user_id, row) for row in rows}

    async def collections(self, user_id: UUID) -> Sequence[str]:
        return [row["collection"] for row in await self._database.fetch(_COLLECTIONS, user_id)]

    async def known(self, user_id: UUID, ids: Collection[UUID]) -> Mapping[UUID, Ref]:
        rows = await self._database.fetch(_KNOWN, user_id, list(ids)) if ids else ()
        return {row["id"]: Ref(row["kind"], str(row["id"])) for row in rows}

    async def tie(
        self,
        document: IndexedDocument,
        content: Content,
        *,
        similar: Mapping[UUID, float],
        mentions: Sequence[Mention],
        mentioned_by: Mapping[UUID, int],
    ) -> None:
        user_id, document_id = document.user_id, document.document_id
        async with self._database.transaction() as connection:
            await self._rows.lock(connection, user_id)
            centroid = None if content.centroid is None else content.centroid.astype("<f4").tobytes()
            if not await self._rows.found(connection, document, content.collection_id, centroid):
                return
            touched = {document_id}
            touched |= await self._rows.set_similar(connection, user_id, document_id, similar)
            await self._rows.set_mentions(connection, user_id, document_id, mentions)
            touched |= await self._rows.mention(connection, user_id, document_id, mentioned_by)
            await self._rows.put_stars(connection, user_id, touched)

    def _title(self, user_id: UUID, row: Any) -> str:
        return self._rows.opened_title(user_id, row["document_id"], row["title"])


def _cosine(one: NDArray[np.float32], other: bytes) -> float:
    """Kept as 32 bits, so that it is the same whichever of the two is asked."""
    return round(float(one.astype(np.float64) @ np.frombuffer(other, "<f4").astype(np.float64)), 6)
