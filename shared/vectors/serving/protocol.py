"""How the vector service is spoken to: over HTTP, each message the length of a JSON head, the head, and raw numbers.

All numbers are little-endian. The head says how many there are, and a message that is longer or shorter is refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Final, TypeVar, cast
from uuid import UUID

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.errors import Invalid
from shared.ports.embedders import Kind
from shared.ports.vector_engine import Backend, Hit, Hits, Metric
from shared.ports.vector_service import Embedded, Model
from shared.ports.vectors import MOST_DIMENSIONS, Kept
from shared.strict_json import Json, dump
from shared.vectors.filters import Filter
from shared.vectors.ranked import Ranked
from shared.vectors.serving.filter_form import filter_of, form

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shared.ports.vector_engine import Matrix

MOST_QUERIES: Final = 256
MOST_TEXTS: Final = 1024
MOST_HITS: Final = 10_000
MOST_BYTES: Final = 32 << 20
_HEAD_BYTES: Final = 4
_ALIKE_BYTES: Final = 1024
_FLOAT: Final = np.dtype("<f4")
_SCORE: Final = np.dtype("<f8")
_NUMBER: Final = np.dtype("<i8")
HeadT = TypeVar("HeadT", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Searches:
    """Searches of one collection that differ in nothing but their query: texts, or the rows of `vectors`."""

    collection: Kept
    top_k: int
    vectors: "Matrix"
    texts: Sequence[str] | None = None
    filter: Filter | None = None
    contains: str | None = None
    backend: Backend | None = None
    min_seq: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """`vectors`: of the texts."""

    hits: Hits
    backend: Backend
    degraded: bool
    lag_seq: int
    embedding_ms: float
    search_ms: float
    vectors: "Matrix | None"


class _Head(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Asked(_Head):
    """Of the collection what a search needs: nothing by which it could be found at its owner's."""

    id: UUID
    dimension: int = Field(ge=1, le=MOST_DIMENSIONS)
    metric: Metric
    model: str | None = None
    backends: tuple[Backend, ...] = Field(min_length=1, max_length=3)
    seq: int = Field(ge=0)
    top_k: int = Field(ge=1, le=MOST_HITS)
    queries: int = Field(default=0, ge=0, le=MOST_QUERIES)
    texts: list[str] | None = Field(default=None, min_length=1, max_length=MOST_QUERIES)
    filter: list[object] | None = None
    contains: str | None = None
    backend: Backend | None = None
    min_seq: int = Field(default=0, ge=0)


class _Found(_Head):
    counts: list[Annotated[int, Field(ge=0, le=MOST_HITS)]]
    dimension: int = Field(ge=0, le=MOST_DIMENSIONS)
    backend: Backend
    exact: bool
    degraded: bool
    applied_seq: int
    lag_seq: int
    embedding_ms: float
    search_ms: float


class EmbedAsked(_Head):
    texts: list[str] = Field(max_length=MOST_TEXTS)
    model: str | None = None
    kind: Kind = "passage"


class _EmbedFound(_Head):
    model: Model
    count: int = Field(ge=0, le=MOST_TEXTS)


def write_searches(asked: Searches) -> bytes:
    collection = asked.collection
    head: dict[str, Json] = {
        "id": str(collection.id),
        "dimension": collection.dimension,
        "metric": collection.metric,
        "model": collection.model,
        "backends": list(collection.backends),
        "seq": collection.seq,
        "top_k": asked.top_k,
        "queries": len(asked.vectors),
        "texts": None if asked.texts is None else list(asked.texts),
        "filter": None if asked.filter is None else form(asked.filter),
        "contains": asked.contains,
        "backend": asked.backend,
        "min_seq": asked.min_seq,
    }
    return _joined(head, asked.vectors.astype(_FLOAT, copy=False).tobytes())


def read_searches(body: bytes) -> Searches:
    """Raises Invalid."""
    text, numbers = _parted(body)
    # Searches of one collection have one head until it changes; those of texts are as various as these.
    count, asked = (_alike if len(text) <= _ALIKE_BYTES else _read)(text)
    vectors = _matrix(numbers, count, asked.collection.dimension)
    return replace(asked, vectors=vectors)


def _read(text: bytes) -> tuple[int, Searches]:
    """How many vectors follow, and all but these. Raises Invalid."""
    head = _checked(_Asked, text)
    texts = head.texts
    if bool(head.queries) == bool(texts):
        raise Invalid("a search is for texts, or for vectors")
    return head.queries, Searches(
        collection=Kept(
            id=head.id,
            user_id=UUID(int=0),
            name="",
            dimension=head.dimension,
            metric=head.metric,
            model=head.model,
            backends=head.backends,
            seq=head.seq,
            trimmed_seq=0,
        ),
        top_k=head.top_k,
        vectors=np.empty((0, head.dimension), np.float32),
        texts=texts,
        filter=None if head.filter is None else filter_of(cast(Json, head.filter)),
        contains=head.contains,
        backend=head.backend,
        min_seq=head.min_seq,
    )


_alike = lru_cache(maxsize=256)(_read)


def write_answered(answered: Answered) -> bytes:
    hits, vectors = answered.hits, answered.vectors
    counts, numbers, scores = _columns(hits.of)
    head: dict[str, Json] = {
        "counts": counts,
        "dimension": 0 if vectors is None else vectors.shape[1],
        "backend": answered.backend,
        "exact": hits.exact,
        "degraded": answered.degraded,
        "applied_seq": hits.applied_seq,
        "lag_seq": answered.lag_seq,
        "embedding_ms": answered.embedding_ms,
        "search_ms": answered.search_ms,
    }
    return _joined(head, numbers, scores, b"" if vectors is None else vectors.astype(_FLOAT, copy=False).tobytes())


def _columns(of: Sequence[Sequence[Hit]]) -> tuple[list[Json], bytes, bytes]:
    """How many each has, their numbers, and their scores."""
    if isinstance(of, Ranked):
        queries, each = of.numbers.shape
        return [each] * queries, of.numbers.astype(_NUMBER).tobytes(), of.scores.astype(_SCORE).tobytes()
    every = [hit for hits in of for hit in hits]
    numbers = np.fromiter((hit.number for hit in every), _NUMBER, len(every))
    scores = np.fromiter((hit.score for hit in every), _SCORE, len(every))
    return [len(hits) for hits in of], numbers.tobytes(), scores.tobytes()


def read_answered(body: bytes, *, queries: int) -> Answered:
    """Raises Invalid."""
    head, numbers = _split(_Found, body)
    total = sum(head.counts)
    end = total * (_NUMBER.itemsize + _SCORE.itemsize)
    if len(head.counts) != queries or len(numbers) < end:
        raise Invalid("an answer of another search")
    found = np.frombuffer(numbers, _NUMBER, total).tolist()
    scores = np.frombuffer(numbers, _SCORE, total, offset=total * _NUMBER.itemsize).tolist()
    every = iter(list(map(Hit, found, scores)))
    vectors = _matrix(numbers[end:], queries if head.dimension else 0, head.dimension)
    return Answered(
        hits=Hits(
            of=[list(islice(every, count)) for count in head.counts],
            applied_seq=head.applied_seq,
            exact=head.exact,
        ),
        backend=head.backend,
        degraded=head.degraded,
        lag_seq=head.lag_seq,
        embedding_ms=head.embedding_ms,
        search_ms=head.search_ms,
        vectors=vectors if head.dimension else None,
    )


def write_embed(texts: Sequence[str], *, model: str | None, kind: Kind) -> bytes:
    return _joined({"texts": list(texts), "model": model, "kind": kind})


def read_embed(body: bytes) -> EmbedAsked:
    """Raises Invalid."""
    head, numbers = _split(EmbedAsked, body)
    _matrix(numbers, 0, 0)
    return head


def write_embedded(embedded: Embedded) -> bytes:
    head: dict[str, Json] = {"model": embedded.model.model_dump(), "count": len(embedded.vectors)}
    return _joined(head, embedded.vectors.astype(_FLOAT, copy=False).tobytes())


def read_embedded(body: bytes) -> Embedded:
    """Raises Invalid."""
    head, numbers = _split(_EmbedFound, body)
    return Embedded(model=head.model, vectors=_matrix(numbers, head.count, head.model.dimension))


def _joined(head: Mapping[str, Json], *numbers: bytes) -> bytes:
    text = dump(dict(head))
    return b"".join((len(text).to_bytes(_HEAD_BYTES, "little"), text, *numbers))


def _split(kind: type[HeadT], body: bytes) -> tuple[HeadT, memoryview]:
    text, numbers = _parted(body)
    return _checked(kind, text), numbers


def _parted(body: bytes) -> tuple[bytes, memoryview]:
    start = _HEAD_BYTES + int.from_bytes(body[:_HEAD_BYTES], "little")
    if len(body) < _HEAD_BYTES or len(body) < start:
        raise Invalid(f"a message of {len(body)} bytes ends within its head")
    return body[_HEAD_BYTES:start], memoryview(body)[start:]


def _checked(kind: type[HeadT], text: bytes) -> HeadT:
    try:
        return kind.model_validate_json(text)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False, include_context=False)[0]
        raise Invalid(f"the head is wrong at {'.'.join(map(str, first['loc']))!r}: {first['msg']}") from None


def _matrix(numbers: memoryview, rows: int, dimension: int) -> "Matrix":
    if len(numbers) != rows * dimension * _FLOAT.itemsize:
        raise Invalid(f"{rows} vectors of {dimension} numbers do not have {len(numbers)} bytes")
    found: NDArray[np.float32] = np.frombuffer(numbers, _FLOAT).reshape(rows, dimension).astype(np.float32, copy=False)
    if not np.isfinite(found).all():
        raise Invalid("a vector has a number that is not finite")
    return found
