"""Rates in Redis, and what a process does without: never does more pass than the tier says, all processes together.

Redis decides, by one script and its own clock. Where it is gone or slow, a process decides alone:

- The only process there is (`replicas` 1) goes on from what it knows. When Redis is back it tells, so one that was
  flushed or restarted gives nothing twice.
- One of several knows only part of what was admitted, so its buckets start empty, and it lets pass its part of the
  rate. When Redis is back, all of them go on like that until each has had the time to come back too (`_SETTLE_S`);
  then Redis decides again, every bucket empty as of that moment.

A process that alone lost Redis, while others kept it, adds its part of the rate to theirs; nothing else is added.
A Redis that knows nothing is a new one only where the record says that there was none before.
"""

import asyncio
import time
from uuid import UUID

from shared.config import Settings
from shared.errors import Unavailable
from shared.ports.limits import TIERS, Quota, tier_of
from shared.stores.gcra import Memory, Plan
from shared.stores.postgres.database import Database
from shared.stores.redis import Cache, Script

_REMEMBERED = 50_000
# A process decides alone for so long after it last failed to reach Redis; then it has to try again first.
_PERMIT_S = 8.0
# Longer than that and an attempt together: by then whoever can reach Redis has done so.
_SETTLE_S = 10.0
_CLOCK_JUMPED_US = 1_000_000
_EPOCH = "RATE_LIMIT:epoch"

_DENIED, _ADMITTED, _UNKNOWN, _UNSETTLED = 0, 1, 2, 3
_ASK, _FIRST, _AGAIN = 0, 1, 2

# `settled`: every bucket was empty then. `called`: when anybody last asked, give or take 100 ms. `gap`: when the last
# silence of a second or more ended. A caller that lost Redis within such a silence was not the only one.
_TAKE = Script("""
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local interval, depth, floor = tonumber(ARGV[1]), tonumber(ARGV[1]) * tonumber(ARGV[2]), tonumber(ARGV[3])
local alone, away, founding, settle = ARGV[4] == '1', tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7])
local epoch = redis.call('HMGET', KEYS[2], 'settled', 'called', 'gap')
local settled, called, gap = tonumber(epoch[1]), tonumber(epoch[2]) or 0, tonumber(epoch[3]) or 0
local changed = now - called > 100000 or called > now
if not settled then
    if founding == '0' then return {2, now, 0} end
    settled = founding == '1' and 0 or alone and now or now + settle
    called, changed = now, true
end
if now - called > 1000000 then gap = now end
local lost = now - away - 200000
if not alone and away > 0 and gap >= lost and settled - settle < lost then
    settled, changed = now + settle, true
end
if changed then
    redis.call('HSET', KEYS[2], 'settled', string.format('%.0f', settled), 'called', string.format('%.0f', now),
        'gap', string.format('%.0f', gap))
end
if now < settled then return {3, now, 0} end
local stored = tonumber(redis.call('GET', KEYS[1]))
local tat = math.max(stored or 0, floor)
if not alone or tat == 0 then tat = math.max(tat, settled + depth) end
tat = math.min(tat, now + depth)
local after = math.max(tat, now) + interval
if after - now > depth then return {0, now, tat} end
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', string.format('%.0f', math.ceil((after - now) / 1000)))
return {1, now, after}
""")

# Several processes may find the first Redis empty at the same time.
_IS_FIRST = """
WITH made AS (INSERT INTO rate_limits_begun DEFAULT VALUES ON CONFLICT DO NOTHING RETURNING at)
SELECT coalesce((SELECT at FROM made), (SELECT at FROM rate_limits_begun)) > now() - interval '2 seconds'"""

_PLANS = {
    name: Plan(3_600_000_000 // tier.per_hour, tier.burst) for name, tier in TIERS.items() if tier.per_hour is not None
}


class RedisLimits:
    def __init__(self, *, cache: Cache, database: Database, settings: Settings) -> None:
        self._cache = cache
        self._database = database
        self._parts = settings.replicas
        # From the process's clock to that of Redis, once one of its answers has told.
        self._offset_us = time.time_ns() // 1000 - _ticks_us()
        self._heard = False
        self._memory = Memory(self._now(), _REMEMBERED)
        self._lost_at: int | None = None
        self._decides_alone = False

    def sockets(self, tier: str) -> int:
        return tier_of(tier).sockets

    async def take(self, who: UUID | str, tier: str) -> Quota | None:
        per_hour = tier_of(tier).per_hour
        if per_hour is None:
            return None
        return await self._take(f"RATE_LIMIT:{who}:all", _PLANS.get(tier, _PLANS["free"]), per_hour)

    async def calls(self, who: UUID, what: str, per_minute: int) -> Quota:
        return await self._take(f"RATE_LIMIT:{who}:{what}", Plan(60_000_000 // per_minute, per_minute), per_minute)

    async def _take(self, key: str, plan: Plan, limit: int) -> Quota:
        found = await self._ask(key, plan)
        if found is None:
            plan = plan.share(self._parts)
            now = self._now()
            found = (*self._without_redis(now).take(key, plan, now), now)
        return _quota(limit, plan, *found)

    async def _ask(self, key: str, plan: Plan) -> tuple[bool, int, int] | None:
        """What Redis says, or None where this process has to decide."""
        answer = None
        if await self._cache.reach(within_s=_PERMIT_S):
            answer = await self._run(key, plan, _ASK)
            if answer is not None and answer[0] == _UNKNOWN:
                answer = await self._run(key, plan, await self._founding())
        if answer is None:
            self._lost_at = self._lost_at or _ticks_us()
            return None
        state, now, tat = answer
        self._lost_at = None
        self._set_clock(now)
        if state == _UNSETTLED:
            return None
        self._decides_alone = False
        if self._parts == 1:
            self._memory.learn(key, tat, alone=False)
        return state == _ADMITTED, tat, now

    async def _run(self, key: str, plan: Plan, founding: int) -> tuple[int, int, int] | None:
        alone = self._parts == 1
        away = 0 if self._lost_at is None else max(1, _ticks_us() - self._lost_at)
        floor = self._memory.floor(key) if alone else 0
        settle = int(_SETTLE_S * 1_000_000)
        arguments = (plan.interval_us, plan.burst, floor, int(alone), away, founding, settle)
        answer = await self._cache.run(_TAKE, (key, _EPOCH), arguments)
        return None if answer is None else (int(answer[0]), int(answer[1]), int(answer[2]))

    async def _founding(self) -> int:
        # One of several that has let something pass already must not be forgotten as if it were the first.
        if self._parts > 1 and self._lost_at is not None:
            return _AGAIN
        try:
            async with asyncio.timeout(2):
                return _FIRST if await self._database.fetchval(_IS_FIRST) else _AGAIN
        except (Unavailable, TimeoutError):
            return _AGAIN

    def _without_redis(self, now: int) -> Memory:
        if self._parts > 1 and not self._decides_alone:
            self._memory = Memory(now, _REMEMBERED)
        self._decides_alone = True
        return self._memory

    def _set_clock(self, now: int) -> None:
        offset = now - _ticks_us()
        if not self._heard or abs(offset - self._offset_us) > _CLOCK_JUMPED_US:
            self._memory.shift(offset - self._offset_us)
            self._heard = True
        self._offset_us = offset

    def _now(self) -> int:
        return _ticks_us() + self._offset_us


def _ticks_us() -> int:
    return time.monotonic_ns() // 1000


def _quota(per_hour: int, plan: Plan, admitted: bool, tat: int, now: int) -> Quota:
    debt = max(0, tat - now)
    wait = max(0, debt + plan.interval_us - plan.depth_us)
    return Quota(
        admitted=admitted,
        limit=per_hour,
        remaining=max(0, (plan.depth_us - debt) // plan.interval_us),
        reset_after_s=debt / 1e6,
        retry_after_s=0.0 if admitted else wait / 1e6,
    )
