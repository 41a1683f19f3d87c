"""What documents have to do with one another, and what they mention: found when one is indexed, kept in the record."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from shared.ports.graph import Ref
from shared.ports.vectors import Kept

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Each looks for so many that are like it. More than MOST_SIMILAR it never has, though more may find it like them.
FOUND_SIMILAR = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedDocument:
    """`due_at` tells one time that it was indexed from another."""

    user_id: UUID
    document_id: UUID
    collection: str
    title: str = field(repr=False)
    chunks: int
    due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """`centroid`: of all its chunks, of length 1; None where they are not there, or point nowhere together."""

    collection_id: UUID | None
    centroid: "NDArray[np.float32] | None" = field(repr=False)
    texts: Sequence[str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Mention:
    """`position`: of the first chunk that mentions it."""

    ref: Ref
    position: int


class DocumentTies(Protocol):
    """For the follower, on nobody's behalf."""

    async def due(self, *, limit: int) -> Sequence[IndexedDocument]:
        """Those whose ties have to be looked for, the longest waiting first."""

    async def later(self, document: IndexedDocument, *, seconds: float) -> None:
        """It could not be done now."""

    async def content(self, document: IndexedDocument, collection: Kept | None) -> Content:
        """Nothing where the collection is gone."""

    async def likeness(
        self, document: IndexedDocument, content: Content, candidates: Collection[UUID]
    ) -> Mapping[UUID, float]:
        """The cosines of centroids, of those candidates that are in its collection."""

    async def similar_to(self, document: IndexedDocument) -> Collection[UUID]:
        """What is kept of it now."""

    async def titles(self, user_id: UUID) -> Mapping[UUID, str]: ...

    async def collections(self, user_id: UUID) -> Sequence[str]:
        """In which there are documents."""

    async def known(self, user_id: UUID, ids: Collection[UUID]) -> Mapping[UUID, Ref]:
        """Those that are tasks or documents of the user's."""

    async def tie(
        self,
        document: IndexedDocument,
        content: Content,
        *,
        similar: Mapping[UUID, float],
        mentions: Sequence[Mention],
        mentioned_by: Mapping[UUID, int],
    ) -> None:
        """In place of all that was known of it; `mentioned_by`: other documents, with positions.

        Where it was deleted or indexed again meanwhile, nothing is changed.
        """
