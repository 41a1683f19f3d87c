"""GET /api/v1/vectors/aliases: other names of the caller's collections, page by page."""

from pydantic import Field

from shared.function import Caller, http
from shared.payload import Payload
from shared.ports.vectors import AliasList, Collections


class ListAliases(Payload):
    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = Field(default=None, max_length=200)


@http("GET", "/api/v1/vectors/aliases", scope="vectors:read")
async def list_aliases(request: ListAliases, *, caller: Caller, collections: Collections) -> AliasList:
    """By name."""
    return await collections.aliases(caller.user_id, limit=request.limit, cursor=request.cursor)
