"""DELETE /api/v1/oauth/identities/{identity_id}: an end to what the outside issuer's tokens let somebody do."""

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from shared.errors import NotFound
from shared.function import Caller, http
from shared.payload import Payload
from shared.ports.oauth import Identities


class UnlinkIdentity(Payload):
    identity_id: UUID


class Unlinked(BaseModel):
    model_config = ConfigDict(frozen=True)
    unlinked: Literal[True] = True


@http("DELETE", "/api/v1/oauth/identities/{identity_id}", scope="users:admin")
async def unlink_identity(request: UnlinkIdentity, *, caller: Caller, identities: Identities) -> Unlinked:
    if not await identities.unlink(caller.user_id, request.identity_id):
        raise NotFound(f"no identity {str(request.identity_id)!r}")
    return Unlinked()
