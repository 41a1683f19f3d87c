"""GET /api/v1/vectors/collections: the caller's collections, page by page."""

from pydantic import Field

from shared.function import Caller, http
from shared.payload import Payload
from shared.ports.vectors import CollectionList, Collections


class ListCollections(Payload):
    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = Field(default=None, max_length=200)


@http("GET", "/api/v1/vectors/collections", scope="vectors:read")
async def list_collections(request: ListCollections, *, caller: Caller, collections: Collections) -> CollectionList:
    """By name."""
    return await collections.list(caller.user_id, limit=request.limit, cursor=request.cursor)
