"""GET /api/v1/vectors/aliases: other names of the caller's collections."""

from pydantic import BaseModel

from shared.function import Caller, http
from shared.ports.vectors import Alias, Collections


class AliasList(BaseModel):
    aliases: list[Alias]


@http("GET", "/api/v1/vectors/aliases", scope="vectors:read")
async def list_aliases(*, caller: Caller, collections: Collections) -> AliasList:
    """All of them, by name."""
    return AliasList(aliases=await collections.aliases(caller.user_id))
