"""POST /oauth/register: an id for a client that has no URL of its own (RFC 7591); the fallback of older clients."""

from pydantic import BaseModel, ConfigDict, Field

from functions.oauth._here import issuer_here
from shared.errors import Invalid
from shared.function import Call, http
from shared.payload import Payload
from shared.ports.oauth import Clients
from shared.public_url import PublicUrl
from shared.redirect_uris import MOST


class RegisterClient(Payload):
    """What counts of client metadata; the rest is taken and forgotten, as the standard wants it."""

    model_config = ConfigDict(extra="ignore")
    redirect_uris: list[str] = Field(min_length=1, max_length=MOST)
    client_name: str = Field(default="An unnamed program", min_length=1, max_length=100)
    grant_types: list[str] = ["authorization_code"]
    response_types: list[str] = ["code"]


class RegisteredClient(BaseModel):
    """A public client: PKCE is what proves it. There is no secret, and nothing to expire."""

    model_config = ConfigDict(frozen=True)
    client_id: str
    client_name: str
    redirect_uris: tuple[str, ...]
    grant_types: tuple[str, ...]
    response_types: tuple[str, ...] = ("code",)
    token_endpoint_auth_method: str = "none"  # noqa: S105 - a way, no secret


@http(
    "POST",
    "/oauth/register",
    scope=None,
    status=201,
    envelope=False,
    keyed=False,
    oauth=True,
    body_limit_bytes=16 * 1024,
)
async def register_client(
    request: RegisterClient, *, clients: Clients, public: PublicUrl, call: Call
) -> RegisteredClient:
    issuer_here(public, call)
    if "authorization_code" not in request.grant_types or "code" not in request.response_types:
        raise Invalid("only authorization codes are given here", error="invalid_client_metadata")
    refreshes = "refresh_token" in request.grant_types
    client = clients.register(name=request.client_name, redirect_uris=request.redirect_uris, refreshes=refreshes)
    return RegisteredClient(
        client_id=client.client_id,
        client_name=client.name,
        redirect_uris=client.redirect_uris,
        grant_types=("authorization_code", "refresh_token") if refreshes else ("authorization_code",),
    )
