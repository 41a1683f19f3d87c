"""The keys that an outside issuer publishes: fetched once, again when they are old, and rarely for an unknown name."""

import asyncio
import time
from typing import Any, Final
from urllib.parse import urlsplit

import jwt

from shared import strict_json
from shared.config import Settings
from shared.errors import Invalid, ToolError, Unavailable
from shared.ports.egress import Egress

FRESH_S: Final = 600.0
# A name that is not among the keys may be a new one; so often they are asked for again, whoever makes names up.
AGAIN_S: Final = 30.0
_DOCUMENT_BYTES: Final = 256 * 1024
_MOST_KEYS: Final = 100
_FETCH_S: Final = 5.0


class OutsideKeys:
    def __init__(self, *, settings: Settings, egress: Egress) -> None:
        self._issuer = settings.oauth_issuer or ""
        self._egress = egress
        self._fetching = asyncio.Lock()
        self._keys: dict[str, dict[str, Any]] = {}
        self._asked_at = float("-inf")

    async def find(self, kid: str, algorithm: str, kind: str) -> Any:
        """The key to verify with, None where the issuer has no such key. Raises Unavailable where it is silent."""
        if self._is_due(kid):
            async with self._fetching:
                if self._is_due(kid):
                    await self._fetch(kid)
        found = self._keys.get(kid)
        if found is None or found.get("kty") != kind or found.get("alg", algorithm) != algorithm:
            return None
        return jwt.PyJWK(found, algorithm).key if found.get("use", "sig") == "sig" else None

    def _is_due(self, kid: str) -> bool:
        return time.monotonic() - self._asked_at > (FRESH_S if kid in self._keys else AGAIN_S)

    async def _fetch(self, kid: str) -> None:
        """Old keys go on where new ones cannot be had: the issuer's trouble is not to be ours."""
        self._asked_at = time.monotonic()
        try:
            listed = (await self._read(await self._place())).get("keys")
            if not isinstance(listed, list):
                raise Unavailable(f"{self._issuer!r} publishes no keys")
            usable = [key for key in listed[:_MOST_KEYS] if isinstance(key, dict) and isinstance(key.get("kid"), str)]
            self._keys = {str(key["kid"]): key for key in usable}
        except Unavailable:
            if kid not in self._keys:
                raise

    async def _place(self) -> str:
        for url in _descriptions(self._issuer):
            try:
                described = await self._read(url)
            except Unavailable:
                continue
            place = described.get("jwks_uri")
            # Who describes somebody else must not choose the keys (RFC 8414, 3.3).
            if described.get("issuer") == self._issuer and isinstance(place, str) and place.startswith("https://"):
                return place
        raise Unavailable(f"{self._issuer!r} does not describe itself")

    async def _read(self, url: str) -> dict[str, Any]:
        try:
            answer = await self._egress.request(
                "GET", url, headers={"Accept": "application/json"}, timeout_s=_FETCH_S, redirects=0
            )
            if answer.status != 200 or len(answer.body) > _DOCUMENT_BYTES:
                raise Unavailable(f"{self._issuer!r} does not answer as it has to")
            found = strict_json.parse(answer.body)
        except (ToolError, Invalid) as exc:
            raise Unavailable(f"{self._issuer!r} does not answer as it has to") from exc
        if not isinstance(found, dict):
            raise Unavailable(f"{self._issuer!r} does not answer as it has to")
        return found


def _descriptions(issuer: str) -> tuple[str, ...]:
    """In the order of RFC 8414: the path behind the well-known name; then as OpenID Connect has it."""
    parts = urlsplit(issuer)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    return (
        f"{origin}/.well-known/oauth-authorization-server{path}",
        f"{origin}/.well-known/openid-configuration{path}",
        *([f"{origin}{path}/.well-known/openid-configuration"] if path else []),
    )
