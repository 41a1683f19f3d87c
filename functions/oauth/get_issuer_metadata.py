"""GET /.well-known/oauth-authorization-server: how tokens are got here (RFC 8414)."""

from pydantic import BaseModel, ConfigDict

from functions.oauth._here import GRANTED, issuer_here
from shared.function import Call, http
from shared.public_url import PublicUrl


class AuthorizationServer(BaseModel):
    model_config = ConfigDict(frozen=True)
    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    revocation_endpoint: str
    registration_endpoint: str
    jwks_uri: str
    scopes_supported: tuple[str, ...] = tuple(sorted(GRANTED))
    response_types_supported: tuple[str, ...] = ("code",)
    response_modes_supported: tuple[str, ...] = ("query",)
    grant_types_supported: tuple[str, ...] = ("authorization_code", "refresh_token")
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("none",)
    revocation_endpoint_auth_methods_supported: tuple[str, ...] = ("none",)
    code_challenge_methods_supported: tuple[str, ...] = ("S256",)
    authorization_response_iss_parameter_supported: bool = True
    client_id_metadata_document_supported: bool = True


@http("GET", "/.well-known/oauth-authorization-server", scope=None, envelope=False, limited=False, oauth=True)
async def get_issuer_metadata(*, public: PublicUrl, call: Call) -> AuthorizationServer:
    issuer = issuer_here(public, call)
    return AuthorizationServer(
        issuer=issuer,
        authorization_endpoint=f"{issuer}/oauth/authorize",
        token_endpoint=f"{issuer}/oauth/token",
        revocation_endpoint=f"{issuer}/oauth/revoke",
        registration_endpoint=f"{issuer}/oauth/register",
        jwks_uri=f"{issuer}/.well-known/jwks.json",
    )
