"""Pages in Redis: each user's own, sealed, and gone within the hour."""

import hashlib
import json
import zlib
from uuid import UUID

from shared.crypto import Codec
from shared.errors import ConfigurationError
from shared.function import MIB
from shared.ports.pages import KeptPage
from shared.stores.redis import Cache

_BODY_BYTES = MIB
# An erased user's pages are not looked for: none is older.
_LONGEST_S = 3600.0


class RedisPages:
    def __init__(self, *, cache: Cache, codec: Codec) -> None:
        self._cache = cache
        self._codec = codec

    async def get(self, user_id: UUID, request: str) -> KeptPage | None:
        name = _name(user_id, request)
        sealed = await self._cache.get(name)
        if sealed is None:
            return None
        try:
            return _read(self._codec.open(sealed, table="cache", column="page", row=name))
        except (ConfigurationError, ValueError, TypeError, KeyError, AttributeError, RecursionError, zlib.error):
            # Whoever can write to Redis can break an entry, and a key may have been changed.
            return None

    async def keep(self, user_id: UUID, request: str, page: KeptPage, *, ttl_s: float) -> None:
        if len(page.body) > _BODY_BYTES or ttl_s < 1:
            return
        name = _name(user_id, request)
        sealed = self._codec.seal(_written(page), table="cache", column="page", row=name)
        await self._cache.set(name, sealed, ttl_ms=int(min(ttl_s, _LONGEST_S) * 1000))


def _name(user_id: UUID, request: str) -> str:
    return f"CACHE:pages:{user_id}:{hashlib.sha256(request.encode()).hexdigest()}"


def _written(page: KeptPage) -> bytes:
    head = {
        "url": page.url,
        "status": page.status,
        "headers": dict(page.headers),
        "fetched_at": page.fetched_at,
        "fresh_until": page.fresh_until,
    }
    return json.dumps(head).encode() + b"\n" + zlib.compress(page.body, 1)


def _read(written: bytes) -> KeptPage:
    head, _, packed = written.partition(b"\n")
    said = json.loads(head)
    unpacking = zlib.decompressobj()
    return KeptPage(
        url=str(said["url"]),
        status=int(said["status"]),
        headers={str(name): str(value) for name, value in said["headers"].items()},
        body=unpacking.decompress(packed, _BODY_BYTES),
        fetched_at=float(said["fetched_at"]),
        fresh_until=float(said["fresh_until"]),
    )
