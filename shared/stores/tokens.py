"""Access tokens signed with Ed25519, and refresh tokens with their successors."""

import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import jwt

from shared import base64url
from shared.config import Settings
from shared.crypto import keyed_hash, refresh_key
from shared.errors import Unauthorized
from shared.ports.tokens import AccessToken, Bound, Claims
from shared.stores.signing_keys import RELOAD_S, SigningKey, SigningKeys

AUDIENCE = "sutazai"
LIFETIME_S = 600
_ALGORITHM = "EdDSA"
_TYPE = "at+jwt"
_CLAIMS = ["iss", "aud", "sub", "exp", "nbf", "iat", "jti", "sid"]
_LONGEST = 4096
_REMEMBERED = 4096
# Clocks of two machines differ a little; a token is not refused for being a moment too new.
_SKEW_S = 2
_RELOAD_S = RELOAD_S
# Base64url without padding; an Ed25519 signature is 86 characters, of which the last has four bits to spare.
_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{85}[AQgw]", re.ASCII)
_REFRESH = re.compile(r"szr_[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]", re.ASCII)


class SignedTokens:
    """Signs with the newest key file, verifies with every live one, and knows no other source of keys."""

    def __init__(self, *, settings: Settings) -> None:
        self._signing = SigningKeys(settings.keys_dir, reload_s=_RELOAD_S)
        self._issuer = settings.issuer
        self._successors = refresh_key(settings.keys_dir)
        self._lock = threading.Lock()
        self._verified: OrderedDict[bytes, Claims] = OrderedDict()
        self._keys: tuple[SigningKey, ...] = ()

    def issue(
        self,
        *,
        user_id: UUID,
        session_id: UUID,
        roles: frozenset[str],
        scopes: frozenset[str],
        bound: Bound | None = None,
    ) -> AccessToken:
        key = self._live()[0]
        now = int(time.time())
        whose = {"iss": self._issuer, "aud": AUDIENCE}
        if bound is not None:
            whose = {"iss": bound.issuer, "aud": bound.resource, "client_id": bound.client_id}
        claims = {
            **whose,
            "sub": str(user_id),
            "sid": str(session_id),
            "jti": str(uuid4()),
            "iat": now,
            "nbf": now,
            "exp": now + LIFETIME_S,
            "roles": sorted(roles),
            "scope": " ".join(sorted(scopes)),
        }
        text = jwt.encode(claims, key.private, algorithm=_ALGORITHM, headers={"kid": key.kid, "typ": _TYPE})
        return AccessToken(text=text, expires_in_s=LIFETIME_S)

    def verify(self, token: str) -> Claims:
        """The signature is checked once and remembered; the expiry is checked every time."""
        keys = self._live()
        if len(token) > _LONGEST:
            raise _refused("it is not in the form of an access token")
        name = sha256(token.encode()).digest()
        with self._lock:
            known = self._verified.get(name)
            if known is not None:
                self._verified.move_to_end(name)
        claims = known or self._first_seen(token, keys)
        if claims.expires_at <= time.time():
            expired_at = datetime.fromtimestamp(claims.expires_at, UTC).isoformat().replace("+00:00", "Z")
            raise Unauthorized("the access token has expired", reason="token_expired", expired_at=expired_at)
        if known is None:
            self._remember(name, claims)
        return claims

    def _first_seen(self, token: str, keys: tuple[SigningKey, ...]) -> Claims:
        if not _FORM.fullmatch(token):
            raise _refused("it is not in the form of an access token")
        return self._checked(token, keys)

    def _remember(self, name: bytes, claims: Claims) -> None:
        with self._lock:
            self._verified[name] = claims
            while len(self._verified) > _REMEMBERED:
                self._verified.popitem(last=False)

    def new_refresh(self) -> str:
        return _refresh(secrets.token_bytes(32))

    def next_refresh(self, token: str) -> str:
        if not _REFRESH.fullmatch(token):
            raise Unauthorized("the refresh token is not valid", reason="token_invalid")
        return _refresh(keyed_hash(self._successors, "refresh-successor", token.encode()))

    def public_keys(self) -> dict[str, list[dict[str, str]]]:
        return {
            "keys": [
                {"kty": "OKP", "crv": "Ed25519", "alg": _ALGORITHM, "use": "sig", "kid": key.kid, "x": key.x}
                for key in self._live()
            ]
        }

    def _live(self) -> tuple[SigningKey, ...]:
        """What was verified by a key that has since been withdrawn is forgotten with it."""
        keys = self._signing.live()
        if keys is not self._keys:
            with self._lock:
                self._keys = keys
                self._verified.clear()
        return keys

    def _checked(self, token: str, keys: tuple[SigningKey, ...]) -> Claims:
        try:
            header = jwt.get_unverified_header(token)
            if set(header) != {"alg", "kid", "typ"} or header["alg"] != _ALGORITHM or header["typ"] != _TYPE:
                raise _refused("its header is not ours")
            key = next((key for key in keys if key.kid == header["kid"]), None)
            if key is None:
                raise _refused("its key is not one of ours")
            found = jwt.decode(
                token,
                key.public,
                algorithms=[_ALGORITHM],
                leeway=_SKEW_S,
                options={"require": _CLAIMS, "verify_exp": False, "verify_aud": False},
            )
            return _claims(found, self._issuer)
        # A payload that is no JSON, too deep or of odd types raises whatever the parser raises.
        except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
            raise _refused("its signature or claims are not right") from exc


def _claims(found: Mapping[str, Any], issuer: str) -> Claims:
    if any(type(found[name]) is not int for name in ("exp", "iat", "nbf")):
        raise ValueError("a time that is no whole number")
    if not 0 <= found["exp"] <= found["iat"] + LIFETIME_S:
        raise ValueError("a life that we give no token")
    resource = None if (found["iss"], found["aud"]) == (issuer, AUDIENCE) else _resource(found)
    return Claims(
        user_id=UUID(found["sub"]),
        session_id=UUID(found["sid"]),
        token_id=UUID(found["jti"]),
        roles=frozenset(found.get("roles", ())),
        scopes=frozenset(found.get("scope", "").split()),
        expires_at=found["exp"],
        resource=resource,
        client_id=None if resource is None else found["client_id"],
    )


def _resource(found: Mapping[str, Any]) -> str:
    """Of a token for one resource: it lies at the very place that has issued it."""
    issuer, audience, client_id = found["iss"], found["aud"], found["client_id"]
    if not all(isinstance(said, str) and said for said in (issuer, audience, client_id)):
        raise ValueError("an issuer, an audience or a client that is no text")
    if audience != issuer and not audience.startswith(f"{issuer}/"):
        raise ValueError("an audience that is not the issuer's")
    return str(audience)


def _refresh(raw: bytes) -> str:
    return f"szr_{base64url.written(raw)}"


def _refused(why: str) -> Unauthorized:
    return Unauthorized(f"the access token is not valid: {why}", reason="token_invalid")
