"""Capabilities signed with the platform's newest key; a token of another kind is none of them."""

import time
from collections.abc import Collection, Mapping
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import jwt

from shared import base64url
from shared.config import Settings
from shared.errors import Unauthorized
from shared.function import Caller
from shared.stores.signing_keys import SigningKeys

LIFETIME_S = 60
_TYPE = "cap+jwt"
_ALGORITHM = "EdDSA"
_CLAIMS = ["iss", "aud", "sub", "exp", "nbf", "iat", "jti", "sid"]
_LONGEST = 4096
# Clocks of two machines differ a little.
_SKEW_S = 2


class SignedCapabilities:
    def __init__(self, *, settings: Settings) -> None:
        self._signing = SigningKeys(settings.keys_dir)
        self._issuer = settings.issuer

    def issue(self, caller: Caller, *, agent: str, scopes: Collection[str], body: bytes) -> str:
        key = self._signing.live()[0]
        now = int(time.time())
        claims = {
            "iss": self._issuer,
            "aud": _audience(agent),
            "sub": str(caller.user_id),
            "sid": str(caller.session_id),
            "jti": str(uuid4()),
            "iat": now,
            "nbf": now,
            "exp": now + LIFETIME_S,
            "roles": sorted(caller.roles),
            "scope": " ".join(sorted(caller.scopes & set(scopes))),
            "tier": caller.tier,
            "request": _digest(body),
        }
        return jwt.encode(claims, key.private, algorithm=_ALGORITHM, headers={"kid": key.kid, "typ": _TYPE})

    def verify(self, text: str, *, agent: str, body: bytes) -> Caller:
        try:
            claims = self._claims(text, agent)
            if claims["request"] != _digest(body):
                raise ValueError("it is for another request")
            return Caller(
                user_id=UUID(claims["sub"]),
                session_id=UUID(claims["sid"]),
                roles=frozenset(claims["roles"]),
                scopes=frozenset(claims["scope"].split()),
                tier=claims["tier"],
                expires_at=claims["exp"],
            )
        # A payload that is no JSON, too deep or of odd types raises whatever the parser raises.
        except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
            raise Unauthorized("the capability is not valid", reason="capability_invalid") from exc

    def _claims(self, text: str, agent: str) -> Mapping[str, Any]:
        if len(text) > _LONGEST:
            raise ValueError("it is too long")
        header = jwt.get_unverified_header(text)
        if set(header) != {"alg", "kid", "typ"} or header["alg"] != _ALGORITHM or header["typ"] != _TYPE:
            raise ValueError("its header is not ours")
        key = next(key for key in (*self._signing.live(), None) if key is None or key.kid == header["kid"])
        if key is None:
            raise ValueError("its key is not one of ours")
        found: dict[str, Any] = jwt.decode(
            text,
            key.public,
            algorithms=[_ALGORITHM],
            audience=_audience(agent),
            issuer=self._issuer,
            leeway=_SKEW_S,
            options={"require": _CLAIMS, "strict_aud": True},
        )
        if found["exp"] > found["iat"] + LIFETIME_S:
            raise ValueError("a life that we give none")
        return found


def _audience(agent: str) -> str:
    return f"agent:{agent}"


def _digest(body: bytes) -> str:
    return base64url.written(sha256(body).digest())
