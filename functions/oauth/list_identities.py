"""GET /api/v1/oauth/identities: whom the outside issuer's tokens let in, and as which users."""

from pydantic import BaseModel, ConfigDict

from shared.function import http
from shared.ports.oauth import Identities, Identity


class IdentityList(BaseModel):
    model_config = ConfigDict(frozen=True)
    identities: tuple[Identity, ...]


@http("GET", "/api/v1/oauth/identities", scope="users:admin")
async def list_identities(*, identities: Identities) -> IdentityList:
    return IdentityList(identities=await identities.of_issuer())
