"""GET /api/v1/vectors/aliases/{name}: which collection an alias stands for."""

from functions.vectors._named import AnyName
from shared.errors import NotFound
from shared.function import Caller, http
from shared.payload import Payload
from shared.ports.vectors import Alias, Collections


class GetAlias(Payload):
    name: AnyName


@http("GET", "/api/v1/vectors/aliases/{name}", scope="vectors:read")
async def get_alias(request: GetAlias, *, caller: Caller, collections: Collections) -> Alias:
    found = await collections.alias(caller.user_id, request.name)
    if found is None:
        raise NotFound(f"no alias {request.name!r}")
    return found
