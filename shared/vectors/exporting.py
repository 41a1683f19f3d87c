"""A whole collection page by page, and in the end as it was at one seq, however much is written meanwhile.

Pages go by seq. What changes while they are read comes again, at its new place, and what is deleted then comes as
that: so of each id the last counts, and once no page follows all of them are the collection at `seq`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from shared import base64url
from shared.errors import Conflict, Invalid
from shared.ports.vector_engine import Metric, Point, Scalar
from shared.ports.vectors import Kept, Vectors

# Of a page: its numbers come to some 4 MB of JSON.
_NUMBERS = 200_000
_MOST = 1 << 62


class ExportedVector(BaseModel):
    """`vector` is null where it has been deleted."""

    model_config = ConfigDict(frozen=True)
    id: str
    seq: int
    vector: list[float] | None
    text: str | None
    metadata: dict[str, Scalar | list[Scalar]]
    created_at: datetime


class ExportPage(BaseModel):
    """`from_seq` is where the export began: what has a seq above that may have come before."""

    model_config = ConfigDict(frozen=True)
    collection: str
    dimension: int
    metric: Metric
    model: str | None
    vectors: list[ExportedVector]
    from_seq: int
    seq: int
    next_cursor: str | None


async def exported(vectors: Vectors, collection: Kept, *, cursor: str | None, limit: int) -> ExportPage:
    """Raises Invalid for a cursor of no export, Conflict where that export cannot go on."""
    after, from_seq = _place(cursor, collection) if cursor else (0, collection.seq)
    limit = min(limit, max(1, _NUMBERS // collection.dimension))
    points = await vectors.changes(collection, after=after, deleted_after=from_seq, limit=limit)
    last = points[-1].seq if points else after
    following = _cursor(collection, last, from_seq) if len(points) == limit else None
    return ExportPage(
        collection=collection.name,
        dimension=collection.dimension,
        metric=collection.metric,
        model=collection.model,
        vectors=list(map(_exported, points)),
        from_seq=from_seq,
        seq=last if following else max(last, from_seq),
        next_cursor=following,
    )


def _exported(point: Point) -> ExportedVector:
    return ExportedVector(
        id=point.vector_id,
        seq=point.seq,
        vector=None if point.vector is None else point.vector.tolist(),
        text=point.text,
        metadata={key: list(held) if isinstance(held, list | tuple) else held for key, held in point.metadata.items()},
        created_at=datetime.fromtimestamp(point.created_at, UTC),
    )


def _cursor(collection: Kept, after: int, from_seq: int) -> str:
    return base64url.written(f"{collection.id}|{after}|{from_seq}".encode())


def _place(cursor: str, collection: Kept) -> Sequence[int]:
    try:
        text = base64url.read(cursor).decode("ascii")
        of, *places = text.split("|")
        collection_id = UUID(of)
        after, from_seq = map(int, places)
        if not (0 <= after < _MOST and 0 <= from_seq < _MOST):
            raise ValueError
    except ValueError:
        raise Invalid("this cursor is none of ours", field="cursor") from None
    if collection_id != collection.id:
        raise Conflict(f"{collection.name!r} is another collection than the one that was read: begin anew")
    if collection.trimmed_seq > max(after, from_seq):
        raise Conflict("what was deleted since is no longer known: begin anew")
    return after, from_seq
