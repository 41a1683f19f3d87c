"""Access tokens of the issuer that the operator has named, verified with the keys that it publishes."""

import json
from typing import Any, Final

import jwt

from shared import base64url
from shared.config import Settings
from shared.errors import Unauthorized
from shared.function import Caller
from shared.identity import narrowed
from shared.stores.outside_keys import OutsideKeys
from shared.stores.postgres.oauth_identities import PostgresIdentities

# Each with the kind of key that it is for: what a header says decides neither alone.
ALGORITHMS: Final = {"EdDSA": "OKP", "ES256": "EC", "PS256": "RSA", "RS256": "RSA"}
_TYPES: Final = (None, "JWT", "at+jwt", "application/at+jwt")
_LONGEST: Final = 8192
_SKEW_S: Final = 2
_SUBJECT: Final = 255


class VerifiedOutside:
    def __init__(self, *, settings: Settings, keys: OutsideKeys, identities: PostgresIdentities) -> None:
        self._issuer = settings.oauth_issuer
        self._keys = keys
        self._identities = identities

    async def caller(self, token: str) -> Caller | None:
        if self._issuer is None or len(token) > _LONGEST or _said_issuer(token) != self._issuer:
            return None
        claims = await self._verified(token)
        known = await self._identities.check(claims["sub"])
        if known is None:
            raise Unauthorized("nobody here is linked to the token's subject", reason="identity_unknown")
        return Caller(
            user_id=known.user_id,
            session_id=known.identity_id,
            roles=known.roles,
            scopes=narrowed(_scopes(claims), known.roles),
            tier=known.tier,
            expires_at=float(claims["exp"]),
            resources=_audience(claims),
        )

    async def _verified(self, token: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            algorithm, kid = header.get("alg"), header.get("kid")
            if algorithm not in ALGORITHMS or header.get("typ") not in _TYPES or "crit" in header:
                raise _refused("its header is not one that is taken")
            key = await self._keys.find(kid, algorithm, ALGORITHMS[algorithm]) if isinstance(kid, str) else None
            if key is None:
                raise _refused("its key is none of its issuer's")
            found: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=self._issuer,
                leeway=_SKEW_S,
                options={"require": ["iss", "aud", "sub", "exp"], "verify_aud": False},
            )
        except jwt.ExpiredSignatureError as exc:
            raise Unauthorized("the access token has expired", reason="token_expired") from exc
        # What its issuer has not signed raises whatever the parsers raise.
        except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
            raise _refused("its signature or claims are not right") from exc
        if not isinstance(found["sub"], str) or not 0 < len(found["sub"]) <= _SUBJECT:
            raise _refused("its subject is none")
        return found


def _said_issuer(token: str) -> object:
    """Whose it says it is: no more than which keys to ask for."""
    try:
        return json.loads(base64url.read(token.split(".")[1])).get("iss")
    except (IndexError, ValueError, AttributeError, RecursionError):
        return None


def _audience(claims: dict[str, Any]) -> frozenset[str]:
    said = claims["aud"]
    return frozenset(one for one in (said if isinstance(said, list) else [said]) if isinstance(one, str))


def _scopes(claims: dict[str, Any]) -> frozenset[str]:
    """As RFC 9068 has them, or as two large issuers write them."""
    said = claims.get("scope", claims.get("scp", ""))
    if isinstance(said, list):
        return frozenset(one for one in said if isinstance(one, str))
    return frozenset(said.split()) if isinstance(said, str) else frozenset()


def _refused(why: str) -> Unauthorized:
    return Unauthorized(f"the access token is not valid: {why}", reason="token_invalid")
