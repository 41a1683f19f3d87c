"""Sessions of MCP clients in Redis, and for a second in this process."""

import time
from typing import TypeVar, cast, get_args

from shared.function import LogLevel
from shared.ports.mcp_sessions import Remembered
from shared.stores.redis import Cache

V = TypeVar("V")

_FRESH_S = 1.0
_MOST = 10_000
_ENDED = b"ended"
_NOTHING = Remembered()


class RedisMcpSessions:
    def __init__(self, *, cache: Cache) -> None:
        self._cache = cache
        # What was told here stays until the cache knows better: without one, it is all that there is.
        self._told: dict[str, Remembered] = {}
        self._seen: dict[str, tuple[float, Remembered]] = {}

    async def recall(self, session: str) -> Remembered:
        told = self._told.get(session, _NOTHING)
        if told.ended:
            return told
        looked_at, seen = self._seen.get(session, (0.0, _NOTHING))
        if time.monotonic() - looked_at < _FRESH_S:
            return seen
        kept = await self._cache.get(_name(session))
        found = told if kept is None else _read(kept)
        _put(self._seen, session, (time.monotonic(), found))
        return found

    async def remember(self, session: str, what: Remembered, *, ttl_s: int) -> None:
        _put(self._told, session, what)
        self._seen.pop(session, None)
        # A process that has just started is about to connect; what is not written now no other would ever learn.
        await self._cache.reach(within_s=_FRESH_S)
        await self._cache.set(_name(session), _written(what), ttl_ms=ttl_s * 1000)


def _put(known: dict[str, V], session: str, value: V) -> None:
    known.pop(session, None)
    known[session] = value
    if len(known) > _MOST:
        del known[next(iter(known))]


def _name(session: str) -> str:
    return f"MCP:session:{session}"


def _written(what: Remembered) -> bytes:
    return _ENDED if what.ended else (what.level or "").encode()


def _read(kept: bytes) -> Remembered:
    """Whoever can write to Redis can break an entry: what is no level is none."""
    if kept == _ENDED:
        return Remembered(ended=True)
    level = kept.decode("latin-1")
    return Remembered(level=cast(LogLevel, level) if level in get_args(LogLevel) else None)
