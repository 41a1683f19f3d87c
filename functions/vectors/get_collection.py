"""GET /api/v1/vectors/collections/{name}: one of the caller's collections."""

from functions.vectors._named import AnyName
from shared.errors import NotFound
from shared.function import Caller, http
from shared.payload import Payload
from shared.ports.vectors import Collection, Collections


class GetCollection(Payload):
    """`name` of a collection or an alias."""

    name: AnyName


@http("GET", "/api/v1/vectors/collections/{name}", scope="vectors:read")
async def get_collection(request: GetCollection, *, caller: Caller, collections: Collections) -> Collection:
    kept = await collections.find(caller.user_id, request.name)
    for collection in await collections.of(caller.user_id):
        if collection.name == kept.name:
            return collection
    raise NotFound(f"no collection {request.name!r}")
