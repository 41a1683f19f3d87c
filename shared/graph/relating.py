"""Looks for what a document that was indexed is like, what it mentions, and what mentions it."""

import asyncio
import contextlib
import logging
import re
from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from shared.errors import NotFound, SutazaiError, Unavailable
from shared.graph.mentions import Titles, agents_in, as_refs, first_of, ids_in, is_telling
from shared.ports.document_ties import FOUND_SIMILAR, Content, DocumentTies, IndexedDocument, Mention
from shared.ports.graph import MOST_SIMILAR, Ref
from shared.ports.vector_service import Query, VectorService
from shared.ports.vectors import Collections, Kept, Vectors
from shared.vectors.filters import Eq, Not

logger = logging.getLogger("sutazai.graph")

# Of centroids: two texts on one subject are above it, two on different ones seldom.
LEAST_LIKE = 0.6
# Chunks: of a long document very many may be the nearest.
_CANDIDATES = 200
_NAMING = 200
_AT_ONCE = 50
_POLL_S = 1.0
_CHUNK = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}):([0-9]{1,6})")
_AGAIN_S = 10.0
_REFUSED_S = 600.0


class Relating:
    def __init__(
        self,
        *,
        ties: DocumentTies,
        collections: Collections,
        vectors: Vectors,
        service: VectorService,
        agents: Collection[str],
    ) -> None:
        self._ties = ties
        self._collections = collections
        self._vectors = vectors
        self._service = service
        self._agents = agents
        self._is_away = False
        # Of a turn: what comes later looks for itself in what there was before.
        self._titles: dict[UUID, Titles] = {}

    async def run(self) -> None:
        """Until it is cancelled, or the record cannot be reached. That the vector service is away only delays it."""
        while True:
            if await self.turn() < _AT_ONCE:
                await asyncio.sleep(_POLL_S)

    async def turn(self) -> int:
        """How many documents that were due have been done."""
        done = 0
        self._titles.clear()
        for document in await self._ties.due(limit=_AT_ONCE):
            try:
                await self._relate(document)
            except _NoAnswer:
                if not self._is_away:
                    logger.warning("documents are not compared now: the vector service does not answer")
                self._is_away = True
                await self._ties.later(document, seconds=_AGAIN_S)
                break
            except Unavailable:
                raise
            except SutazaiError as exc:
                logger.warning("document %s is not compared: %s", document.document_id, exc.message)
                await self._ties.later(document, seconds=_REFUSED_S)
            else:
                self._is_away = False
                done += 1
        return done

    async def _relate(self, document: IndexedDocument) -> None:
        collection = await self._found(document.user_id, document.collection)
        content = await self._ties.content(document, collection)
        similar = {} if collection is None else await self._similar(document, content, collection)
        mentions = await self._mentions(document, content.texts)
        mentioned_by = await self._mentioned_by(document)
        await self._ties.tie(document, content, similar=similar, mentions=mentions, mentioned_by=mentioned_by)

    async def _found(self, user_id: UUID, collection: str) -> Kept | None:
        with contextlib.suppress(NotFound):
            return await self._collections.find(user_id, collection)
        return None

    async def _similar(self, document: IndexedDocument, content: Content, collection: Kept) -> Mapping[UUID, float]:
        if content.centroid is None:
            return {}
        query = Query(
            collection=collection,
            vector=content.centroid,
            top_k=_CANDIDATES,
            filter=Not(Eq("document_id", str(document.document_id))),
            # Of two that were indexed together the second has to see the first.
            min_seq=collection.seq,
        )
        try:
            hits = (await self._service.search(query)).hits
        except Unavailable as exc:
            raise _NoAnswer from exc
        stored = await self._vectors.those(collection, [hit.number for hit in hits])
        near = {chunk[0] for each in stored.values() if (chunk := _chunk(each.id))}
        kept = set(await self._ties.similar_to(document))
        scores = await self._ties.likeness(document, content, near | kept)
        alike = sorted((-score, other) for other, score in scores.items() if score >= LEAST_LIKE)
        # Those that have found it stay beside those that it finds itself.
        chosen = {*[other for _, other in alike if other in near][:FOUND_SIMILAR], *kept}
        return {other: -score for score, other in [one for one in alike if one[1] in chosen][:MOST_SIMILAR]}

    async def _mentions(self, document: IndexedDocument, texts: Sequence[str]) -> list[Mention]:
        ids = ids_in(texts)
        known = await self._ties.known(document.user_id, ids)
        titles = self._titles.get(document.user_id)
        if titles is None:
            titles = self._titles[document.user_id] = Titles(await self._ties.titles(document.user_id))
        found = [(ref, ids[one]) for one, ref in known.items()]
        found += as_refs("Document", await asyncio.to_thread(titles.found_in, texts))
        found += as_refs("Agent", agents_in(texts, self._agents))
        return first_of(found, but=Ref("Document", str(document.document_id)))

    async def _mentioned_by(self, document: IndexedDocument) -> dict[UUID, int]:
        found: dict[UUID, int] = {}
        title = Titles({document.document_id: document.title})
        if not is_telling(document.title):
            return found
        for name in await self._ties.collections(document.user_id):
            if collection := await self._found(document.user_id, name):
                ranked = await self._vectors.lexical(collection, document.title, top_k=_NAMING)
                stored = await self._vectors.those(collection, [number for number, _ in ranked])
                for each in stored.values():
                    if (chunk := _chunk(each.id)) and title.found_in([each.text or ""]):
                        other, position = chunk
                        found[other] = min(position, found.get(other, position))
        found.pop(document.document_id, None)
        return found


class _NoAnswer(Exception):
    """Of the vector service: the record's own absence is not for this to bear."""


def _chunk(vector_id: str) -> tuple[UUID, int] | None:
    """Of which document it is, and where in it; None of a vector that is nobody's."""
    found = _CHUNK.fullmatch(vector_id)
    return (UUID(found[1]), int(found[2])) if found else None
