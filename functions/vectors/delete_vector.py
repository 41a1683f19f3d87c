"""DELETE /api/v1/vectors/{collection}/{vector_id}: one vector, out of every answer from now on."""

from typing import Literal

from pydantic import BaseModel

from functions.vectors._named import AnyId, AnyName
from shared.errors import NotFound
from shared.function import Caller, http
from shared.payload import Payload
from shared.ports.vectors import Vectors


class DeleteVector(Payload):
    collection: AnyName
    vector_id: AnyId


class Deleted(BaseModel):
    """`seq` is the collection's afterwards."""

    deleted: Literal[True] = True
    collection: str
    seq: int


@http("DELETE", "/api/v1/vectors/{collection}/{vector_id}", scope="vectors:write")
async def delete_vector(request: DeleteVector, *, caller: Caller, vectors: Vectors) -> Deleted:
    written = await vectors.delete(caller.user_id, request.collection, [request.vector_id])
    if not written.changed:
        raise NotFound(f"no vector {request.vector_id!r} in {request.collection!r}")
    return Deleted(collection=request.collection, seq=written.seq)
