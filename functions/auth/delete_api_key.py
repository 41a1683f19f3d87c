"""DELETE /api/v1/auth/api-keys/{key_id}: an end to one of the caller's API keys, everywhere within a second."""

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from shared.errors import NotFound
from shared.function import Caller, http
from shared.payload import Payload
from shared.ports.api_keys import ApiKeys


class DeleteApiKey(Payload):
    key_id: UUID


class Deleted(BaseModel):
    model_config = ConfigDict(frozen=True)
    deleted: Literal[True] = True


@http("DELETE", "/api/v1/auth/api-keys/{key_id}", scope="api_keys:own")
async def delete_api_key(request: DeleteApiKey, *, caller: Caller, keys: ApiKeys) -> Deleted:
    if not await keys.delete(caller.user_id, request.key_id):
        raise NotFound(f"no API key {str(request.key_id)!r}")
    return Deleted()
