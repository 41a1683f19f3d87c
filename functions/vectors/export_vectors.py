"""GET /api/v1/vectors/collections/{name}/export: all vectors of a collection, page by page."""

from pydantic import Field

from functions.vectors._named import AnyName
from shared.function import Caller, http
from shared.payload import Payload
from shared.ports.vectors import Collections, Vectors
from shared.vectors.exporting import ExportPage, exported


class ExportVectors(Payload):
    """`name` of a collection or an alias. What a cursor has begun, a cursor goes on with, also after days."""

    name: AnyName
    limit: int = Field(default=1000, ge=1, le=1000)
    cursor: str | None = Field(default=None, max_length=200)


@http("GET", "/api/v1/vectors/collections/{name}/export", scope="vectors:read")
async def export_vectors(
    request: ExportVectors, *, caller: Caller, collections: Collections, vectors: Vectors
) -> ExportPage:
    """Pages may hold fewer than `limit`. Of an id that comes twice the later counts; null vectors are deletions.

    With the page that has no `next_cursor`, all of them together are the collection as it was at `seq`.
    """
    collection = await collections.find(caller.user_id, request.name)
    return await exported(vectors, collection, cursor=request.cursor, limit=request.limit)
