"""DELETE /api/v1/vectors/collections/{name}: one of the caller's collections, with its vectors and aliases."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from functions.vectors._named import AnyName
from shared.errors import NotFound
from shared.function import Caller, http
from shared.payload import Payload
from shared.ports.vectors import Collections


class DeleteCollection(Payload):
    """`name` of the collection itself: an alias is deleted by itself."""

    name: AnyName


class Deleted(BaseModel):
    model_config = ConfigDict(frozen=True)
    deleted: Literal[True] = True


@http("DELETE", "/api/v1/vectors/collections/{name}", scope="vectors:write")
async def delete_collection(request: DeleteCollection, *, caller: Caller, collections: Collections) -> Deleted:
    if not await collections.delete(caller.user_id, request.name):
        raise NotFound(f"no collection {request.name!r}")
    return Deleted()
