"""GET /api/v1/vectors/collections: the caller's collections."""

from shared.function import Caller, http
from shared.ports.vectors import CollectionList, Collections


@http("GET", "/api/v1/vectors/collections", scope="vectors:read")
async def list_collections(*, caller: Caller, collections: Collections) -> CollectionList:
    """All of them, by name."""
    return CollectionList(collections=await collections.of(caller.user_id))
