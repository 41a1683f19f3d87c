"""PUT /api/v1/vectors/aliases/{name}: another name for a collection, or the same name for another collection."""

from functions.vectors._named import AnyName, check_new
from shared.function import Caller, http
from shared.payload import Payload
from shared.ports.vectors import Alias, Collections
from shared.vectors.naming import NewName


class SetAlias(Payload):
    name: NewName
    collection: AnyName


@http("PUT", "/api/v1/vectors/aliases/{name}", scope="vectors:write")
async def set_alias(request: SetAlias, *, caller: Caller, collections: Collections) -> Alias:
    """All at once: whoever asks for the alias gets the one collection or the other. So a new model takes over."""
    check_new(request.name)
    return await collections.point(caller.user_id, request.name, request.collection)
