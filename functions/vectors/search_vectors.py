"""POST /api/v1/vectors/search: what is most like a text or a vector."""

from typing import Annotated

from pydantic import Field, JsonValue

from functions.vectors._named import AnyName, Number, Numbers
from shared.function import Caller, http
from shared.payload import Payload
from shared.ports.vector_answers import SearchAnswer, VectorAnswers
from shared.ports.vector_engine import Backend
from shared.ports.vector_service import VectorService
from shared.ports.vectors import Collections, Vectors
from shared.vectors.filters import parse
from shared.vectors.searching import Search, Searcher


class SearchVectors(Payload):
    """By `query`, a text, or `vector`; with both the text is for its words alone.

    `hybrid`, the default for a text without `threshold`: similarity and words together, scored from 0 to 1 by both
    ranks. Otherwise scores are similarities. `threshold`: the least score. `contains`: a part of the text, as it
    stands. `backend`: whom to ask first. `min_seq`: of an upsert, whose vectors are to be known.
    """

    query: Annotated[str, Field(min_length=1, max_length=8192)] | None = None
    vector: Numbers | None = None
    collection: AnyName
    top_k: int = Field(default=10, ge=1, le=1000)
    threshold: Number | None = None
    filters: dict[str, JsonValue] | None = None
    contains: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    hybrid: bool | None = None
    backend: Backend | None = None
    min_seq: int = Field(default=0, ge=0)


@http("POST", "/api/v1/vectors/search", scope="vectors:read", keyed=False)
async def search_vectors(
    request: SearchVectors,
    *,
    caller: Caller,
    collections: Collections,
    vectors: Vectors,
    service: VectorService,
    answers: VectorAnswers,
) -> SearchAnswer:
    """The best first. Filters: {key: value or values}, {key: {gt, gte, lt, lte, in, exists}}, and, or, not, in, range,
    date_range of start and end."""
    search = Search(
        **request.model_dump(exclude={"collection", "filters"}),
        filter=parse(request.filters),
    )
    searcher = Searcher(caller.user_id, collections=collections, vectors=vectors, service=service)
    asked = request.model_dump_json(exclude={"collection"})
    return await searcher.found(request.collection, search, request=asked, answers=answers)
