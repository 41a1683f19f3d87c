"""Sessions over PostgreSQL, behind two caches that no failure can make older than they say."""

import asyncio
import json
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from shared.config import Settings
from shared.crypto import keyed_hash, refresh_key, same
from shared.function import Call
from shared.ports.sessions import Active, Session
from shared.stores.postgres.sessions import PostgresSessions
from shared.stores.redis import Cache

# Half of what a logout may take; the other half is for clocks that differ and answers on their way.
FRESH_S = 0.5
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class _Remembered:
    active: Active
    until: float


class CachedSessions:
    """PostgreSQL is the truth; the age of a cached answer counts from when PostgreSQL was asked."""

    def __init__(self, *, record: PostgresSessions, cache: Cache, settings: Settings) -> None:
        self._record = record
        self._cache = cache
        self._key = refresh_key(settings.keys_dir)
        self._near: OrderedDict[UUID, _Remembered] = OrderedDict()
        self._asking: dict[UUID, tuple[float, asyncio.Task[Active | None]]] = {}

    async def check(self, session_id: UUID) -> Active | None:
        if (known := self.recalled(session_id)) is not None:
            return known
        # All requests of a session find it out of date at once: one of them asks, and only as long as that is fresh.
        began, asking = self._asking.get(session_id, (float("-inf"), None))
        if asking is None or time.monotonic() - began > FRESH_S:
            asking = asyncio.create_task(self._asked(session_id))
            self._asking[session_id] = (time.monotonic(), asking)
            asking.add_done_callback(lambda ended: self._answered(session_id, ended))
        return await asyncio.shield(asking)

    def recalled(self, session_id: UUID) -> Active | None:
        near = self._near.get(session_id)
        return near.active if near is not None and near.until > time.monotonic() else None

    def _answered(self, session_id: UUID, asking: "asyncio.Task[Active | None]") -> None:
        if self._asking.get(session_id, (0.0, None))[1] is asking:
            del self._asking[session_id]

    async def _asked(self, session_id: UUID) -> Active | None:
        asked = time.monotonic()
        shared = await self._shared(session_id)
        if shared is not None:
            active, age_s = shared
            self._remember(active, asked - age_s)
            return active
        asked, checked_at = time.monotonic(), time.time()
        found = await self._record.check(session_id)
        if found is None:
            self._near.pop(session_id, None)
            return None
        self._remember(found, asked)
        await self._cache.set(_name(session_id), self._sealed(found, checked_at), ttl_ms=int(FRESH_S * 1000))
        return found

    async def start(self, user_id: UUID, refresh_token: str, *, call: Call) -> Active:
        return await self._record.start(user_id, refresh_token, call=call)

    async def rotate(self, refresh_token: str, successor: str, *, call: Call) -> Active:
        return await self._record.rotate(refresh_token, successor, call=call)

    async def of(self, user_id: UUID, *, current: UUID) -> tuple[Session, ...]:
        return await self._record.of(user_id, current=current)

    async def end(self, user_id: UUID, session_id: UUID, *, action: str) -> bool:
        ended = await self._record.end(user_id, session_id, action=action)
        if ended:
            await self._forget(session_id)
        return ended

    async def end_others(self, user_id: UUID, *, keep: UUID) -> int:
        ended = await self._record.end_others(user_id, keep=keep)
        for session_id in ended:
            await self._forget(session_id)
        return len(ended)

    async def _forget(self, session_id: UUID) -> None:
        self._near.pop(session_id, None)
        await self._cache.delete(_name(session_id))

    def _remember(self, active: Active, checked_at: float) -> None:
        until = time.monotonic() + (active.expires_at - datetime.now(UTC)).total_seconds()
        self._near[active.session_id] = _Remembered(active, min(checked_at + FRESH_S, until))
        self._near.move_to_end(active.session_id)
        while len(self._near) > _REMEMBERED:
            self._near.popitem(last=False)

    async def _shared(self, session_id: UUID) -> tuple[Active, float] | None:
        """From the shared cache, with its age. An entry without our seal, or older than it may be, is none.

        Redis may hang, then carry out an old write: the age in the entry counts, not Redis's own.
        """
        raw = await self._cache.get(_name(session_id))
        if raw is None:
            return None
        try:
            entry = json.loads(raw)
            data = entry["data"]
            active = Active(
                session_id=session_id,
                user_id=UUID(entry["user_id"]),
                roles=frozenset(data["roles"]),
                tier=data["tier"],
                expires_at=datetime.fromisoformat(entry["expires"]),
            )
            age_s = time.time() - data["checked"]
            genuine = same(self._seal(active, data["checked"]), bytes.fromhex(data["seal"]))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None
        if not genuine or not 0 <= age_s < FRESH_S or active.expires_at <= datetime.now(UTC):
            return None
        return active, age_s

    def _sealed(self, active: Active, checked_at: float) -> bytes:
        data = {
            "roles": sorted(active.roles),
            "tier": active.tier,
            "checked": checked_at,
            "seal": self._seal(active, checked_at).hex(),
        }
        entry = {"user_id": str(active.user_id), "expires": active.expires_at.isoformat(), "data": data}
        return json.dumps(entry, separators=(",", ":")).encode()

    def _seal(self, active: Active, checked_at: float) -> bytes:
        parts = (
            str(active.session_id),
            str(active.user_id),
            active.expires_at.isoformat(),
            repr(checked_at),
            active.tier,
            *sorted(active.roles),
        )
        return keyed_hash(self._key, "session-cache", *(part.encode() for part in parts))


def _name(session_id: UUID) -> str:
    return f"SESSION:{session_id}"
