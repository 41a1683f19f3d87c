"""Collections of vectors as their owners see them, and as the record keeps them for the engines to follow."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from shared.ports.vector_engine import Backend, Metadata, Metric, Point, Space

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from shared.vectors.filters import Filter

MOST_COLLECTIONS = 1000
MOST_ALIASES = 1000
MOST_DIMENSIONS = 4096


class Collection(BaseModel):
    """`model`: of the embedder that its vectors are from; None where its owner brings them."""

    model_config = ConfigDict(frozen=True)
    name: str
    dimension: int
    metric: Metric
    model: str | None
    backends: tuple[Backend, ...]
    vectors: int
    seq: int
    created_at: datetime


class CollectionList(BaseModel):
    collections: list[Collection]
    next_cursor: str | None


class Alias(BaseModel):
    model_config = ConfigDict(frozen=True)
    alias: str
    collection: str


class AliasList(BaseModel):
    aliases: list[Alias]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A collection with what engines need to know of it. `seq` is that of its newest change.

    What was deleted up to `trimmed_seq` may be forgotten: an engine that is not as far has to begin anew. `texts`: how
    many of its vectors have one; `words`: in all of those together.
    """

    id: UUID
    user_id: UUID
    name: str
    dimension: int
    metric: Metric
    model: str | None
    backends: tuple[Backend, ...]
    seq: int
    trimmed_seq: int
    texts: int = 0
    words: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVector:
    """`vector` has the collection's dimension, and length 1 where its metric is cosine."""

    id: str
    vector: "NDArray[np.float32]" = field(repr=False)
    metadata: Metadata = field(default_factory=dict, repr=False)
    text: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a change comes to. `changed` leaves out what was so already; `seq` is the collection's after it."""

    changed: int
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A vector as the record has it."""

    number: int
    id: str
    vector: "NDArray[np.float32]" = field(repr=False)
    metadata: Metadata
    text: str | None
    created_at: datetime
    seq: int


class Collections(Protocol):
    """A name is resolved to an alias of the same user where there is no collection of that name."""

    async def create(
        self,
        user_id: UUID,
        name: str,
        *,
        dimension: int,
        metric: Metric,
        model: str | None,
        backends: Sequence[Backend],
    ) -> Collection:
        """Raises Conflict where the name is taken, also by an alias, or the user has too many."""

    async def list(self, user_id: UUID, *, limit: int, cursor: str | None) -> CollectionList:
        """By name. Raises Invalid for a cursor that is none of ours."""

    async def get(self, user_id: UUID, name: str) -> Collection:
        """Raises NotFound."""

    async def find(self, user_id: UUID, name: str) -> Kept:
        """Raises NotFound."""

    async def pin(self, collection: Kept, model: str) -> None:
        """From now on it holds vectors of this model. Raises NotFound, and Conflict where it has held others."""

    async def delete(self, user_id: UUID, name: str) -> bool:
        """With its vectors and its aliases. False where there is no collection of that very name."""

    async def point(self, user_id: UUID, alias: str, name: str) -> Alias:
        """From now on, and all at once.

        Raises NotFound for the collection, Conflict where one is called so, or the user has too many aliases.
        """

    async def aliases(self, user_id: UUID, *, limit: int, cursor: str | None) -> AliasList:
        """By name. Raises Invalid for a cursor that is none of ours."""

    async def alias(self, user_id: UUID, alias: str) -> Alias | None: ...

    async def unpoint(self, user_id: UUID, alias: str) -> bool: ...


class Vectors(Protocol):
    """The truth. A write is one transaction, and numbers its rows while it holds the collection: readers miss none.

    With `collection_id` it is for that very one: where another goes by its name by now, NotFound is raised.
    """

    async def upsert(
        self,
        user_id: UUID,
        name: str,
        vectors: Sequence[NewVector],
        *,
        model: str | None,
        collection_id: UUID | None = None,
    ) -> Written:
        """Rows that are the same as before take no number.

        Raises NotFound; Invalid for another dimension; Conflict where `model` is not the one the collection is of.
        """

    async def delete(
        self, user_id: UUID, name: str, ids: Sequence[str], *, collection_id: UUID | None = None
    ) -> Written:
        """Raises NotFound for the collection; ids that are not there count as nothing."""

    async def get(self, user_id: UUID, name: str, vector_id: str) -> Stored:
        """Raises NotFound."""

    async def those(self, collection: Kept, numbers: Sequence[int]) -> Mapping[int, Stored]:
        """Those of them that are there now, without their vectors: what an engine found may be gone."""

    async def changes(self, collection: Kept, *, after: int, deleted_after: int, limit: int) -> Sequence[Point]:
        """What has a seq above `after`, in its order, of each vector the last: all of it where there are fewer than
        `limit`. Deletions only where they are above `deleted_after` too."""

    async def scan(
        self,
        collection: Kept,
        query: "NDArray[np.float32]",
        *,
        top_k: int,
        filter: "Filter | None",
        most: int,
        contains: str | None = None,
    ) -> list[tuple[int, float]] | None:
        """Every vector that passes compared here, best first, as (number, score).

        None where the collection has more than `most`.
        """

    async def lexical(
        self, collection: Kept, query: str, *, top_k: int, filter: "Filter | None" = None, contains: str | None = None
    ) -> list[tuple[int, float]]:
        """By the words of the query in the texts of those that pass: (number, BM25), best first, equal ones by number.

        Empty where none of the words is in any of them.
        """


class Truth(Protocol):
    """What appliers and reconcilers read and note, for all users: never asked on a caller's behalf."""

    async def collections(self) -> Sequence[Kept]:
        """All of them."""

    async def since(self, collection_id: UUID, seq: int, *, limit: int = 1000) -> Sequence[Point]:
        """Changes after `seq`, in order of seq; of each vector the last one."""

    async def versions(self, collection_id: UUID, *, upto_seq: int) -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
        """Numbers and seqs of what is there, none of a seq above `upto_seq`; what changed later is left out."""

    async def points(self, collection_id: UUID, numbers: Sequence[int]) -> Sequence[Point]:
        """As they are now; one that is deleted has no vector, and one that the record no longer knows is left out."""

    async def progress(self, backend: Backend) -> Mapping[UUID, "Progress"]: ...

    async def note(self, space: Space, backend: Backend, *, applied_seq: int, error: str | None = None) -> None:
        """How far an engine is, and of which epoch; an older epoch than the one that is noted changes nothing."""

    def active(self, backend: Backend) -> AbstractAsyncContextManager[None]:
        """Waits to be the one process that fills this server. Raises Unavailable as soon as another one may be."""

    async def trim(self) -> None:
        """Forgets what was deleted a day ago and all of a collection's engines have passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    epoch: int
    applied_seq: int
    error: str | None
    updated_at: datetime
