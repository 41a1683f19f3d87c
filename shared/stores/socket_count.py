"""How many sockets each user has open in all processes: leases in Redis, or this process's own count without it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self
from uuid import UUID, uuid4

from shared.stores.redis import Cache, Script

# A process that dies leaves its sockets counted for so long.
LEASE_MS = 10_000
_RENEW_S = 3.0
_BATCH = 200

# Leases of those that have not renewed them count no more; by Redis's own clock.
# KEYS the user's leases; ARGV most, lease, id
_TAKE = Script("""
local at = redis.call('TIME')
local now = at[1] * 1000 + math.floor(at[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
""")
# KEYS leases of users; ARGV lease, then an id for each
_RENEW = Script("""
local at = redis.call('TIME')
local now = at[1] * 1000 + math.floor(at[2] / 1000)
for n, key in ipairs(KEYS) do
    redis.call('ZADD', key, now + ARGV[1], ARGV[n + 1])
    redis.call('PEXPIRE', key, ARGV[1])
end
return 1
""")
_RELEASE = Script("return redis.call('ZREM', KEYS[1], ARGV[1])")


class LeasedSocketCount:
    def __init__(self, *, cache: Cache) -> None:
        self._cache = cache
        self._own: dict[UUID, set[str]] = {}
        self._renewing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)

    @asynccontextmanager
    async def counted(self, user_id: UUID, *, most: int) -> AsyncIterator[bool]:
        name = uuid4().hex
        own = self._own.setdefault(user_id, set())
        if len(own) >= most:
            yield False
            return
        # Before anything is waited for: two of one user may come at once.
        own.add(name)
        try:
            if self._renewing is None:
                self._renewing = asyncio.create_task(self._renew())
            yield await self._cache.run(_TAKE, [_key(user_id)], [most, LEASE_MS, name]) != 0
        finally:
            own.discard(name)
            if not own:
                self._own.pop(user_id, None)
            await self._cache.run(_RELEASE, [_key(user_id)], [name])

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(_RENEW_S)
            leases = [(_key(user_id), name) for user_id, names in self._own.items() for name in names]
            for start in range(0, len(leases), _BATCH):
                some = leases[start : start + _BATCH]
                await self._cache.run(_RENEW, [key for key, _ in some], [LEASE_MS, *(name for _, name in some)])


def _key(user_id: UUID) -> str:
    return f"SOCKETS:{user_id}"
