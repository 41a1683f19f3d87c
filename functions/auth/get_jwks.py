"""GET /.well-known/jwks.json: the public keys that access tokens are verified with."""

from pydantic import BaseModel, ConfigDict

from shared.function import http
from shared.ports.tokens import Tokens


class PublicKeys(BaseModel):
    """A JSON Web Key Set (RFC 7517)."""

    model_config = ConfigDict(frozen=True)
    keys: list[dict[str, str]]


@http("GET", "/.well-known/jwks.json", scope=None, envelope=False, limited=False)
async def get_jwks(*, tokens: Tokens) -> PublicKeys:
    return PublicKeys(keys=tokens.public_keys()["keys"])
