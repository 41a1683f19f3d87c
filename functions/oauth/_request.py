"""What a client asks of a user, read from the address that it sends the browser to."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote_plus

from pydantic import ConfigDict, Field

from functions.oauth._here import GRANTED, USUAL_SCOPES, servers
from shared import base64url
from shared.errors import Invalid
from shared.payload import Payload
from shared.ports.oauth import Asked, Client, Clients
from shared.public_url import resource_among
from shared.redirect_uris import is_registered

# SHA-256 in base64url: the last character has two bits to spare.
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]", re.ASCII)
_PRINTABLE: Final = r"^[\x20-\x7e]*$"


class AuthorizationRequest(Payload):
    """RFC 6749, 4.1.1, with PKCE (RFC 7636) and `resource` (RFC 8707). What is unknown is ignored, as it has to be."""

    model_config = ConfigDict(extra="ignore")
    response_type: str = Field(default="", max_length=100)
    client_id: str = Field(default="", max_length=2000)
    redirect_uri: str = Field(default="", max_length=2000)
    state: str | None = Field(default=None, max_length=2000, pattern=_PRINTABLE)
    scope: str = Field(default="", max_length=4000)
    resource: str = Field(default="", max_length=500)
    code_challenge: str = Field(default="", max_length=200)
    code_challenge_method: str = Field(default="", max_length=20)

    @property
    def carried(self) -> dict[str, str]:
        """What the form sends again."""
        said = self.model_dump(include=set(AuthorizationRequest.model_fields), exclude_none=True)
        return {name: value for name, value in said.items() if value}


@dataclass(frozen=True, slots=True)
class Way:
    """Back to the client; `issuer` says whose answer it is (RFC 9207)."""

    client: Client
    redirect_uri: str
    state: str | None
    issuer: str

    def with_code(self, code: str) -> str:
        return self._with(code=code)

    def with_error(self, error: str, description: str) -> str:
        return self._with(error=error, error_description=description)

    def _with(self, **said: str) -> str:
        answer = {**said, **({} if self.state is None else {"state": self.state}), "iss": self.issuer}
        query = "&".join(f"{name}={quote_plus(value)}" for name, value in answer.items())
        return f"{self.redirect_uri}{'&' if '?' in self.redirect_uri else '?'}{query}"


async def way_back(request: AuthorizationRequest, issuer: str, clients: Clients) -> Way:
    """Raises Invalid where nobody may be sent anywhere: an unknown client, or a URI that is not one of its own."""
    if not request.client_id:
        raise Invalid("client_id is missing")
    client = await clients.get(request.client_id)
    if not is_registered(request.redirect_uri, client.redirect_uris):
        raise Invalid(f"the redirect URI {request.redirect_uri[:200]!r} is none of this client's")
    return Way(client, request.redirect_uri, request.state, issuer)


def asked(request: AuthorizationRequest, way: Way) -> Asked:
    """Raises Invalid, named as the client has to be told."""
    if request.response_type != "code":
        raise Invalid("response_type has to be 'code'", error="unsupported_response_type")
    if request.code_challenge_method != "S256" or not _CHALLENGE.fullmatch(request.code_challenge):
        raise Invalid("a PKCE challenge by the method S256 is needed", error="invalid_request")
    scopes = frozenset(request.scope.split()) & GRANTED if request.scope.strip() else USUAL_SCOPES
    if not scopes:
        raise Invalid("none of the scopes can be granted", error="invalid_scope")
    return Asked(
        client=way.client,
        redirect_uri=way.redirect_uri,
        challenge=base64url.read(request.code_challenge),
        scopes=scopes,
        resource=resource_among(request.resource, way.issuer, servers()),
        issuer=way.issuer,
    )
