"""POST /api/v1/vectors/collections: room for vectors of one dimension, compared by one metric."""

from typing import Annotated

from pydantic import Field

from functions.vectors._named import Model, check_new
from shared.errors import Conflict
from shared.function import Caller, http
from shared.payload import Payload
from shared.ports.vector_engine import Backend, Metric
from shared.ports.vector_service import VectorService
from shared.ports.vectors import MOST_DIMENSIONS, Collection, Collections
from shared.vectors.models import chosen
from shared.vectors.naming import NewName


class CreateCollection(Payload):
    """With a `model` of GET /vectors/models texts are embedded by it, and `dimension` is its own; another name stands
    for a model elsewhere. Where neither is given the default model is taken.

    With a dimension alone the first upsert decides: vectors are their owner's own, texts take the default model.
    """

    name: NewName
    dimension: int | None = Field(default=None, ge=1, le=MOST_DIMENSIONS)
    metric: Metric = "cosine"
    model: Model | None = None
    backends: Annotated[tuple[Backend, ...], Field(min_length=1, max_length=3)] = ("faiss", "qdrant")


@http("POST", "/api/v1/vectors/collections", scope="vectors:write", status=201)
async def create_collection(
    request: CreateCollection, *, caller: Caller, collections: Collections, service: VectorService
) -> Collection:
    """Which of `backends` is asked first depends on what a search is for, not on their order."""
    check_new(request.name)
    dimension, model = request.dimension, request.model
    if model is not None or dimension is None:
        model, dimension = chosen(await service.models(), model, dimension)
    if "chroma" in request.backends and "chroma" not in {each.backend for each in await service.engines()}:
        raise Conflict("this platform runs without Chroma", field="backends")
    return await collections.create(
        caller.user_id,
        request.name,
        dimension=dimension,
        metric=request.metric,
        model=model,
        backends=tuple(dict.fromkeys(request.backends)),
    )
