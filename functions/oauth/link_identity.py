"""POST /api/v1/oauth/identities: who somebody at the outside issuer is here."""

from typing import Annotated
from uuid import UUID

from pydantic import StringConstraints

from shared.function import Caller, http
from shared.payload import Payload
from shared.ports.oauth import Identities, Identity


class LinkIdentity(Payload):
    """`subject` as the issuer's tokens have it in `sub`."""

    subject: Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")]
    user_id: UUID


@http("POST", "/api/v1/oauth/identities", scope="users:admin", status=201)
async def link_identity(request: LinkIdentity, *, caller: Caller, identities: Identities) -> Identity:
    return await identities.link(caller.user_id, subject=request.subject, user_id=request.user_id)
