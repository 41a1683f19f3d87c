"""Ties of documents as rows, each method part of its caller's transaction."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from events.documents import DocumentIndexed
from shared.crypto import Codec
from shared.graph.stars import mentions_star, similar_star
from shared.ports.document_ties import IndexedDocument, Mention
from shared.ports.graph import MOST_MENTIONS, MOST_SIMILAR, Ref
from shared.stores.postgres.database import Connection, Database
from shared.stores.postgres.graph_stars import PostgresStars

_PAGE = 500

# Ties are changed at both ends: of two who do so at once, one waits.
_LOCK = "SELECT pg_advisory_xact_lock(x'47525449'::int, hashtext($1::uuid::text))"
_INDEX = """
INSERT INTO graph_documents AS g (user_id, document_id, collection, title, chunks, due_at)
SELECT t.*, clock_timestamp() FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bytea[], $5::int[])
    AS t (user_id, document_id, collection, title, chunks)
WHERE EXISTS (SELECT FROM users u WHERE u.id = t.user_id) AND NOT EXISTS (
    SELECT FROM graph_stars s
    WHERE s.user_id = t.user_id AND s.subject = 'Document' AND s.id = t.document_id::text AND s.elements = 0)
ON CONFLICT (user_id, document_id) DO """
_AGAIN = """UPDATE
SET collection = excluded.collection, title = excluded.title, chunks = excluded.chunks, due_at = excluded.due_at"""
_FOUND = """
UPDATE graph_documents SET collection_id = $4, centroid = $5, due_at = NULL
WHERE user_id = $1 AND document_id = $2 AND due_at = $3 RETURNING true"""
_DELETE = "DELETE FROM graph_documents WHERE user_id = $1 AND document_id = ANY ($2) RETURNING document_id"
_DUE = "UPDATE graph_documents SET due_at = clock_timestamp() WHERE user_id = $1 AND document_id = ANY ($2)"
_PAIRS = """
SELECT document_id, other_id, score FROM document_similarities WHERE user_id = $1 AND document_id = ANY ($2)
UNION SELECT document_id, other_id, score FROM document_similarities WHERE user_id = $1 AND other_id = ANY ($2)"""
_UNPAIR = "DELETE FROM document_similarities WHERE user_id = $1 AND (document_id = $2 OR other_id = $2)"
_PAIR = """
INSERT INTO document_similarities (user_id, document_id, other_id, score)
SELECT $1, least($2, t.id), greatest($2, t.id), t.score FROM unnest($3::uuid[], $4::real[]) AS t (id, score)
WHERE EXISTS (SELECT FROM graph_documents g WHERE g.user_id = $1 AND g.document_id = t.id)"""
_TRIM = f"""
DELETE FROM document_similarities d USING unnest($2::uuid[]) AS t (id) CROSS JOIN LATERAL (
    SELECT s.document_id, s.other_id FROM document_similarities s
    WHERE s.user_id = $1 AND (s.document_id = t.id OR s.other_id = t.id)
    ORDER BY s.score DESC, s.document_id, s.other_id OFFSET {MOST_SIMILAR}
) AS over
WHERE d.user_id = $1 AND d.document_id = over.document_id AND d.other_id = over.other_id
RETURNING d.document_id, d.other_id"""
_UNMENTION = "DELETE FROM document_mentions WHERE user_id = $1 AND document_id = $2"
_UNMENTIONED = """
DELETE FROM document_mentions
WHERE user_id = $1 AND kind = 'Document' AND id = ANY ($2::text[]) RETURNING document_id"""
_MENTION = """
INSERT INTO document_mentions AS m (user_id, document_id, kind, id, position)
SELECT $1, t.* FROM unnest($2::uuid[], $3::text[], $4::text[], $5::int[]) AS t (document_id, kind, id, position)
WHERE EXISTS (SELECT FROM graph_documents g WHERE g.user_id = $1 AND g.document_id = t.document_id)
    AND (t.kind <> 'Document'
        OR EXISTS (SELECT FROM graph_documents g WHERE g.user_id = $1 AND g.document_id::text = t.id))
ON CONFLICT (user_id, document_id, kind, id) DO UPDATE SET position = least(m.position, excluded.position)"""
_TRIM_MENTIONS = f"""
DELETE FROM document_mentions d USING unnest($2::uuid[]) AS t (id) CROSS JOIN LATERAL (
    SELECT m.kind, m.id FROM document_mentions m WHERE m.user_id = $1 AND m.document_id = t.id
    ORDER BY m.position, m.kind COLLATE "C", m.id COLLATE "C" OFFSET {MOST_MENTIONS}
) AS over
WHERE d.user_id = $1 AND d.document_id = t.id AND d.kind = over.kind AND d.id = over.id"""
_MENTIONS = (
    "SELECT document_id, kind, id, position FROM document_mentions WHERE user_id = $1 AND document_id = ANY ($2)"
)
_ALL = """
SELECT user_id, document_id FROM graph_documents
WHERE (user_id, document_id) > ($1, $2) ORDER BY user_id, document_id LIMIT $3"""
_NOBODY = UUID(int=0)


class TieRows:
    def __init__(self, *, database: Database, stars: PostgresStars, codec: Codec) -> None:
        self._database = database
        self._stars = stars
        self._codec = codec

    async def lock(self, connection: Connection, user_id: UUID) -> None:
        await connection.execute(_LOCK, user_id)

    async def index(self, events: Sequence[DocumentIndexed], *, again: bool) -> None:
        """Their ties have to be looked for; where not `again`, only of those that are not known."""
        newest = {(event.user_id, event.document_id): event for event in events}
        rows = [
            (event.user_id, event.document_id, event.collection, self._sealed_title(event), event.chunks)
            for event in newest.values()
        ]
        if rows:
            statement = _INDEX + (_AGAIN if again else "NOTHING")
            await self._database.execute(statement, *zip(*rows, strict=True))

    async def forget(self, user_id: UUID, documents: Collection[UUID]) -> None:
        """Those that were similar look for others in their place."""
        gone = list(documents)
        async with self._database.transaction() as connection:
            await self.lock(connection, user_id)
            near = _ends(await connection.fetch(_PAIRS, user_id, gone)) - set(gone)
            naming = await connection.fetch(_UNMENTIONED, user_id, list(map(str, gone)))
            await connection.execute(_DELETE, user_id, gone)
            await connection.execute(_DUE, user_id, list(near))
            await self.put_stars(connection, user_id, {*gone, *near, *(row["document_id"] for row in naming)})

    async def put_all_stars(self) -> None:
        """Out of what is known, whatever the stars say."""
        after = (_NOBODY, _NOBODY)
        while rows := await self._database.fetch(_ALL, *after, _PAGE):
            by_user: dict[UUID, set[UUID]] = {}
            for row in rows:
                by_user.setdefault(row["user_id"], set()).add(row["document_id"])
            for user_id, documents in by_user.items():
                async with self._database.transaction() as connection:
                    await self.lock(connection, user_id)
                    await self.put_stars(connection, user_id, documents)
            after = (rows[-1]["user_id"], rows[-1]["document_id"])

    async def found(
        self, connection: Connection, document: IndexedDocument, collection_id: UUID | None, centroid: bytes | None
    ) -> bool:
        key = (document.user_id, document.document_id, document.due_at)
        return bool(await connection.fetchval(_FOUND, *key, collection_id, centroid))

    async def set_similar(
        self, connection: Connection, user_id: UUID, document_id: UUID, similar: Mapping[UUID, float]
    ) -> set[UUID]:
        """All whose pairs have changed."""
        touched = _ends(await connection.fetch(_PAIRS, user_id, [document_id]))
        await connection.execute(_UNPAIR, user_id, document_id)
        await connection.execute(_PAIR, user_id, document_id, list(similar), list(similar.values()))
        trimmed = await connection.fetch(_TRIM, user_id, [document_id, *similar])
        return touched | set(similar) | _ends(trimmed)

    async def set_mentions(
        self, connection: Connection, user_id: UUID, document_id: UUID, mentions: Sequence[Mention]
    ) -> None:
        await connection.execute(_UNMENTION, user_id, document_id)
        await self._mention(connection, user_id, [(document_id, one) for one in mentions])

    async def mention(
        self, connection: Connection, user_id: UUID, document_id: UUID, by: Mapping[UUID, int]
    ) -> set[UUID]:
        me = Ref("Document", str(document_id))
        await self._mention(connection, user_id, [(other, Mention(me, place)) for other, place in by.items()])
        return set(by)

    async def _mention(self, connection: Connection, user_id: UUID, found: Sequence[tuple[UUID, Mention]]) -> None:
        if found:
            rows = [(document, one.ref.kind, one.ref.id, one.position) for document, one in found]
            await connection.execute(_MENTION, user_id, *zip(*rows, strict=True))
            await connection.execute(_TRIM_MENTIONS, user_id, list({document for document, _ in found}))

    async def put_stars(self, connection: Connection, user_id: UUID, documents: Collection[UUID]) -> None:
        scores: dict[UUID, dict[UUID, float]] = {document: {} for document in documents}
        for row in await connection.fetch(_PAIRS, user_id, list(documents)):
            if row["document_id"] in scores:
                scores[row["document_id"]][row["other_id"]] = row["score"]
        mentions: dict[UUID, list[Mention]] = {document: [] for document in documents}
        for row in await connection.fetch(_MENTIONS, user_id, list(documents)):
            mentions[row["document_id"]].append(Mention(Ref(row["kind"], row["id"]), row["position"]))
        stars = [similar_star(user_id, document, near) for document, near in scores.items()]
        stars += [mentions_star(user_id, document, named) for document, named in mentions.items()]
        await self._stars.put_within(connection, stars)

    def opened_title(self, user_id: UUID, document_id: UUID, sealed: bytes) -> str:
        return self._codec.open_text(sealed, **_place(user_id, document_id))

    def _sealed_title(self, event: DocumentIndexed) -> bytes:
        return self._codec.seal(event.title, **_place(event.user_id, event.document_id))


def _place(user_id: UUID, document_id: UUID) -> dict[str, str]:
    return {"table": "graph_documents", "column": "title", "row": f"{user_id}/{document_id}"}


def _ends(pairs: Iterable[Any]) -> set[UUID]:
    return {row[end] for row in pairs for end in ("document_id", "other_id")}
