"""GET /api/v1/vectors/{collection}/{vector_id}: one vector, with its text and metadata."""

from datetime import datetime

from pydantic import BaseModel

from functions.vectors._named import AnyId, AnyName
from shared.function import Caller, http
from shared.payload import Payload
from shared.ports.vector_engine import Scalar
from shared.ports.vectors import Vectors


class GetVector(Payload):
    collection: AnyName
    vector_id: AnyId


class Vector(BaseModel):
    """`vector` has length 1 where the collection's metric is cosine."""

    id: str
    collection: str
    vector: list[float]
    text: str | None
    metadata: dict[str, Scalar | list[Scalar]]
    created_at: datetime
    seq: int


@http("GET", "/api/v1/vectors/{collection}/{vector_id}", scope="vectors:read")
async def get_vector(request: GetVector, *, caller: Caller, vectors: Vectors) -> Vector:
    found = await vectors.get(caller.user_id, request.collection, request.vector_id)
    return Vector(
        id=found.id,
        collection=request.collection,
        vector=found.vector.tolist(),
        text=found.text,
        metadata=dict(found.metadata),
        created_at=found.created_at,
        seq=found.seq,
    )
