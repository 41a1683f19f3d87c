"""POST /api/v1/auth/api-keys: a key for a program, which may do no more than its owner."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AwareDatetime, Field, StringConstraints, WithJsonSchema

from shared.errors import Forbidden, Invalid
from shared.function import Caller, http
from shared.identity import KEY_SCOPES, SCOPES
from shared.payload import Payload
from shared.ports.api_keys import ApiKeys, NewApiKey

_KNOWN = frozenset().union(*SCOPES.values())


# Which of them are the caller's is not said by a schema; what no key may have is.
Scope = Annotated[str, StringConstraints(max_length=64), WithJsonSchema({"enum": sorted(KEY_SCOPES)})]


class CreateApiKey(Payload):
    """`scopes` are among the caller's own; without `expires_at` the key lasts until it is deleted."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]
    scopes: list[Scope] = Field(min_length=1, max_length=64)
    expires_at: AwareDatetime | None = None


# The kept answer of an Idempotency-Key would hold the key, which is stored nowhere.
@http("POST", "/api/v1/auth/api-keys", scope="api_keys:own", status=201, keyed=False)
async def create_api_key(request: CreateApiKey, *, caller: Caller, keys: ApiKeys) -> NewApiKey:
    """The key is shown this once. What guards the account itself (sessions, keys, password, users) is not for keys."""
    for scope in request.scopes:
        if scope not in _KNOWN:
            raise Invalid(f"no scope {scope!r}", field="scopes")
        if scope not in caller.scopes or scope not in KEY_SCOPES:
            raise Forbidden(f"the scope {scope!r} is not yours to give to a key", scope=scope)
    if request.expires_at is not None and request.expires_at <= datetime.now(UTC):
        raise Invalid("expires_at has passed", field="expires_at")
    return await keys.create(
        caller.user_id, name=request.name, scopes=frozenset(request.scopes), expires_at=request.expires_at
    )
