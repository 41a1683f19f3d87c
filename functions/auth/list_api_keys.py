"""GET /api/v1/auth/api-keys: the caller's API keys, without what lets them in."""

from pydantic import BaseModel, ConfigDict

from shared.function import Caller, http
from shared.ports.api_keys import ApiKey, ApiKeys


class ApiKeyList(BaseModel):
    model_config = ConfigDict(frozen=True)
    api_keys: tuple[ApiKey, ...]


@http("GET", "/api/v1/auth/api-keys", scope="api_keys:own")
async def list_api_keys(*, caller: Caller, keys: ApiKeys) -> ApiKeyList:
    return ApiKeyList(api_keys=await keys.of(caller.user_id))
