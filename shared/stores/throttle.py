"""Failed passwords, counted where they hurt: the account from one place, the account, the place, and all there is.

Nothing is ever locked. Failures make the next attempt wait, longer each time up to a bound, and fade. An attempt counts
as a failure while it runs, so that many at once wait for one another, and is taken back when it was none.

- One account from one place: from the tenth failure on 1 s, 2 s, 4 s and so on up to a quarter of an hour.
- One account from anywhere: from the twentieth on, up to 30 s.
- One place, whatever the account: from the hundredth on, up to 5 s. Many people share an address.
- Everything together: from 500 on, which fade at 20 a second, a second each.

Strangers can fill the last three. So where this login was right before (from the same network, in the last 90 days)
only the first holds, and ends at 30 s.

A right password clears the first count only: whoever owns one account must not pay for guesses at others with it. What
nobody is called is counted as what somebody is, so waiting tells nothing. Redis holds the counts for all processes;
each keeps its own as well, which hold when Redis is gone.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from shared.addresses import network_of
from shared.config import Settings
from shared.crypto import index_key, keyed_hash
from shared.errors import Conflict, RateLimited, SutazaiError, Unauthorized
from shared.stores.failures import Failures, Rule
from shared.stores.postgres.database import Database
from shared.stores.redis import Cache, Script

_S = 1_000_000
HERE = Rule(free=10, fade_us=300 * _S, first_us=_S, longest_us=900 * _S)
HERE_AND_KNOWN = Rule(free=10, fade_us=60 * _S, first_us=_S, longest_us=30 * _S)
ACCOUNT = Rule(free=20, fade_us=60 * _S, first_us=_S, longest_us=30 * _S)
PLACE = Rule(free=100, fade_us=6 * _S, first_us=_S // 4, longest_us=5 * _S)
EVERYTHING = Rule(free=500, fade_us=_S // 20, first_us=_S // 10, longest_us=_S)

_REMEMBERED = 50_000
_PATIENCE_S = 1.0
# More than that who wait would only fill the process.
_WAITING = 200

_ENTER = Script("""
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local levels = {}
for i, key in ipairs(KEYS) do
    local rule = {}
    for j = 1, 4 do rule[j] = tonumber(ARGV[(i - 1) * 4 + j]) end
    local seen = redis.call('HMGET', key, 'level', 'at')
    local level, at = tonumber(seen[1]) or 0, tonumber(seen[2]) or now
    local over = math.floor(level + 0.5) - rule[1]
    local wait = over < 0 and 0 or math.min(rule[4], rule[3] * 2 ^ math.min(over, 40))
    -- A clock that went back must not make anybody wait longer than that.
    if at > now then at = now end
    if at + wait > now then return at + wait - now end
    levels[i] = {math.max(0, level - (now - at) / rule[2]) + 1, rule}
end
for i, key in ipairs(KEYS) do
    local level, rule = levels[i][1], levels[i][2]
    redis.call('HSET', key, 'level', string.format('%.6f', level), 'at', string.format('%.0f', now))
    redis.call('PEXPIRE', key, string.format('%.0f', math.ceil((level * rule[2] + rule[4]) / 1000)))
end
return 0
""")

_TAKE_BACK = Script("""
for i, key in ipairs(KEYS) do
    if tonumber(redis.call('HGET', key, 'level') or 0) > 1 and ARGV[1] ~= key then
        redis.call('HINCRBYFLOAT', key, 'level', -1)
    else
        redis.call('DEL', key)
    end
end
return 0
""")

_KNOWN = "SELECT EXISTS (SELECT FROM login_places WHERE place = $1 AND last_at > now() - interval '90 days')"
_REMEMBER = """
WITH old AS (DELETE FROM login_places WHERE user_id = $2 AND last_at < now() - interval '90 days' AND place <> $1)
INSERT INTO login_places (place, user_id) SELECT $1, id FROM users WHERE id = $2
ON CONFLICT (place) DO UPDATE SET last_at = now(), user_id = excluded.user_id
WHERE login_places.last_at < now() - interval '1 day' OR login_places.user_id <> excluded.user_id"""


class _Attempt:
    def __init__(self) -> None:
        self.user_id: UUID | None = None

    def belongs_to(self, user_id: UUID) -> None:
        self.user_id = user_id


class RedisThrottle:
    def __init__(self, *, cache: Cache, database: Database, settings: Settings) -> None:
        self._cache = cache
        self._database = database
        self._key = index_key(settings.keys_dir)
        self._own = Failures(_REMEMBERED)
        self._waiting = 0

    @asynccontextmanager
    async def attempt(self, login: str, *, place: str) -> AsyncIterator[_Attempt]:
        network = network_of(place) if network_of(place) != "unknown" else place
        pair = self._hash("login-place", login.lower(), network)
        rules = await self._entered(login, network, pair)
        attempt = _Attempt()
        try:
            yield attempt
        except SutazaiError as error:
            if not isinstance(error, Unauthorized | Conflict):
                await self._take_back(list(rules))
            raise
        await self._take_back(list(rules), right=_name("here", pair))
        if attempt.user_id is not None:
            await self._database.execute(_REMEMBER, pair, attempt.user_id)

    async def _entered(self, login: str, network: str, pair: bytes) -> Mapping[str, Rule]:
        """The counts that the attempt was entered in. Raises RateLimited."""
        here, place = _name("here", pair), _name("place", self._hash("place", network))
        account = _name("account", self._hash("login", login.lower()))
        rules = {here: HERE, account: ACCOUNT, place: PLACE, "THROTTLE:everything": EVERYTHING}
        if not login:
            rules = {place: PLACE, "THROTTLE:everything": EVERYTHING}
        wait_us = await self._enter(rules)
        if wait_us and login and await self._database.fetchval(_KNOWN, pair):
            rules = {here: HERE_AND_KNOWN}
            wait_us = await self._enter(rules)
        if wait_us:
            await self._wait(rules, wait_us)
        return rules

    async def _wait(self, rules: Mapping[str, Rule], wait_us: int) -> None:
        if self._waiting >= _WAITING:
            raise _refused(wait_us)
        self._waiting += 1
        try:
            give_up, pause_s = time.monotonic() + _PATIENCE_S, 0.05
            # Those who are ahead may turn out to be right, which shortens the wait.
            while wait_us and (left_s := give_up - time.monotonic()) > 0:
                await asyncio.sleep(min(pause_s, wait_us / 1e6, left_s))
                pause_s *= 2
                wait_us = await self._enter(rules)
        finally:
            self._waiting -= 1
        if wait_us:
            raise _refused(wait_us)

    async def _enter(self, rules: Mapping[str, Rule]) -> int:
        wait_us = self._own.enter(rules, time.monotonic_ns() // 1000)
        if wait_us:
            return wait_us
        figures = [
            figure for rule in rules.values() for figure in (rule.free, rule.fade_us, rule.first_us, rule.longest_us)
        ]
        shared = await self._cache.run(_ENTER, list(rules), figures)
        if shared:
            self._own.take_back(list(rules))
        return int(shared or 0)

    async def _take_back(self, keys: Sequence[str], *, right: str = "") -> None:
        self._own.take_back(keys)
        self._own.forget(right)
        await self._cache.run(_TAKE_BACK, keys, [right])

    def _hash(self, purpose: str, *parts: str) -> bytes:
        return keyed_hash(self._key, purpose, *(part.encode(errors="backslashreplace") for part in parts))


def _name(kind: str, hashed: bytes) -> str:
    return f"THROTTLE:{kind}:{hashed[:16].hex()}"


def _refused(wait_us: int) -> RateLimited:
    return RateLimited("too many wrong passwords", limit=HERE.free, retry_after=wait_us / 1e6)
