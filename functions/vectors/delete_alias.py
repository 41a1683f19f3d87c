"""DELETE /api/v1/vectors/aliases/{name}: another name of a collection, which stays."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from functions.vectors._named import AnyName
from shared.errors import NotFound
from shared.function import Caller, http
from shared.payload import Payload
from shared.ports.vectors import Collections


class DeleteAlias(Payload):
    name: AnyName


class Deleted(BaseModel):
    model_config = ConfigDict(frozen=True)
    deleted: Literal[True] = True


@http("DELETE", "/api/v1/vectors/aliases/{name}", scope="vectors:write")
async def delete_alias(request: DeleteAlias, *, caller: Caller, collections: Collections) -> Deleted:
    if not await collections.unpoint(caller.user_id, request.name):
        raise NotFound(f"no alias {request.name!r}")
    return Deleted()
