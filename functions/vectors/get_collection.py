"""GET /api/v1/vectors/collections/{name}: one of the caller's collections."""

from functions.vectors._named import AnyName
from shared.function import Caller, http
from shared.payload import Payload
from shared.ports.vectors import Collection, Collections


class GetCollection(Payload):
    """`name` of a collection or an alias."""

    name: AnyName


@http("GET", "/api/v1/vectors/collections/{name}", scope="vectors:read")
async def get_collection(request: GetCollection, *, caller: Caller, collections: Collections) -> Collection:
    return await collections.get(caller.user_id, request.name)
