"""Sessions and refresh tokens as rows; each act with its audit line and events in one transaction."""

from datetime import timedelta
from hashlib import sha256
from uuid import UUID, uuid4

import asyncpg

from events.users import SessionRevoked
from shared.crypto import Codec
from shared.errors import Unauthorized
from shared.function import Call
from shared.ports.sessions import Active, Session
from shared.stores.postgres.database import Connection, Database
from shared.stores.postgres.outbox import record_act, record_event

# The longest a login lasts, and the longest it may lie unused.
SESSION_DAYS = 30
IDLE_DAYS = 7
# For so long a client whose answer was lost may ask again.
REPEAT_S = 10

_START = """
WITH u AS (UPDATE users SET last_login_at = now() WHERE id = $1 AND is_active RETURNING id, roles, tier),
s AS (INSERT INTO sessions (id, user_id, token_hash, address, user_agent, expires_at)
      SELECT $2, id, $3, $4, $5, now() + $6 FROM u RETURNING id, user_id, expires_at)
SELECT s.*, u.roles, u.tier FROM s, u"""

_USE = """
UPDATE refresh_tokens t SET used_at = clock_timestamp(), used_by = $2 FROM live_sessions s
WHERE t.token_hash = $1 AND t.used_at IS NULL AND t.issued_at > now() - make_interval(days => $3)
  AND s.id = t.session_id
  AND (SELECT client_hash FROM oauth_sessions o WHERE o.session_id = s.id) IS NOT DISTINCT FROM $4::bytea
RETURNING s.*"""

_TOUCH = "UPDATE sessions SET token_hash = $2, last_used_at = now() WHERE id = $1"

_WHY_NOT = """
SELECT s.id, s.user_id, s.expires_at, u.roles, u.tier, t.used_at IS NOT NULL AS used,
       s.id IN (SELECT id FROM live_sessions) AS live,
       t.used_by = $2 AND t.used_at > clock_timestamp() - make_interval(secs => $4)
       AND next.token_hash IS NOT NULL AND next.used_at IS NULL AS repeatable,
       (SELECT client_hash FROM oauth_sessions o WHERE o.session_id = s.id) IS NOT DISTINCT FROM $5::bytea AS own
FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id JOIN users u ON u.id = s.user_id
LEFT JOIN refresh_tokens next ON next.token_hash = $3
WHERE t.token_hash = $1"""

# The one session, or all but that one.
_END = """
UPDATE sessions SET revoked_at = now()
WHERE user_id = $1 AND (id <> $2) = $3 AND revoked_at IS NULL AND expires_at > now() RETURNING id"""

_LIST = """
SELECT id, created_at, last_used_at, expires_at, address, user_agent, client_name, id = $2 AS current
FROM sessions LEFT JOIN oauth_sessions ON session_id = id
WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > now() ORDER BY last_used_at DESC, id LIMIT 200"""


class PostgresSessions:
    def __init__(self, *, database: Database) -> None:
        self._database = database
        self._codec = Codec()

    async def check(self, session_id: UUID) -> Active | None:
        row = await self._database.fetchrow("SELECT * FROM live_sessions WHERE id = $1", session_id)
        return active_of(row) if row else None

    async def start(self, user_id: UUID, refresh_token: str, *, call: Call) -> Active:
        session_id = uuid4()
        async with self._database.transaction() as connection:
            row = await begin(connection, user_id, session_id, refresh_token, call=call)
            await _record(connection, user_id, "auth.login", f"session:{session_id}", row is not None)
        if row is None:
            raise Unauthorized("the account is disabled", reason="account_disabled")
        return active_of(row)

    async def rotate(self, refresh_token: str, successor: str, *, call: Call) -> Active:
        async with self._database.transaction() as connection:
            session = await rotated(connection, refresh_token, successor, call=call, action="auth.refresh")
        if isinstance(session, Unauthorized):
            raise session
        return session

    async def of(self, user_id: UUID, *, current: UUID) -> tuple[Session, ...]:
        rows = await self._database.fetch(_LIST, user_id, current)
        return tuple(Session.model_validate({**row, "client": self._client(row)}) for row in rows)

    async def end(self, user_id: UUID, session_id: UUID, *, action: str) -> bool:
        async with self._database.transaction() as connection:
            source = f"/functions/{action.rpartition('.')[2]}"
            ended = await revoke(connection, user_id, session_id, source=source)
            await _record(connection, user_id, action, f"session:{session_id}", bool(ended))
        return bool(ended)

    async def end_others(self, user_id: UUID, *, keep: UUID) -> list[UUID]:
        async with self._database.transaction() as connection:
            source = "/functions/end_other_sessions"
            ended = await revoke(connection, user_id, keep, others=True, source=source)
            await _record(connection, user_id, "auth.end_other_sessions", f"user:{user_id}", True)
        return ended

    def _client(self, row: asyncpg.Record) -> str | None:
        sealed, at = row["client_name"], {"table": "oauth_sessions", "column": "client_name", "row": row["id"]}
        return None if sealed is None else self._codec.open_text(sealed, **at)


async def begin(
    connection: Connection,
    user_id: UUID,
    session_id: UUID,
    refresh_token: str,
    *,
    call: Call,
    life: timedelta = timedelta(days=SESSION_DAYS),
) -> asyncpg.Record | None:
    """The new session's row, with the columns of live_sessions; None for a user who is disabled or erased."""
    hashed, place = hash_of(refresh_token), (_short(call.address), _short(call.user_agent))
    row = await connection.fetchrow(_START, user_id, session_id, hashed, *place, life)
    if row is not None:
        await _issue(connection, hashed, session_id)
    return row


async def rotated(
    connection: Connection,
    refresh_token: str,
    successor: str,
    *,
    call: Call,
    action: str,
    holder: bytes | None = None,
) -> Active | Unauthorized:
    """Why not, where the token cannot be used; then too the transaction has to be committed.

    `holder`: the hash of the client whose token it must be; None for tokens of no client.
    """
    old, new, client = hash_of(refresh_token), hash_of(successor), _client(call)
    refusal = None
    row = await connection.fetchrow(_USE, old, client, IDLE_DAYS, holder)
    if row is not None:
        await _issue(connection, new, row["id"])
        await connection.execute(_TOUCH, row["id"], new)
    else:
        row = await connection.fetchrow(_WHY_NOT, old, client, new, REPEAT_S, holder)
        refusal = _refusal(row)
    user_id, on = (row["user_id"], f"session:{row['id']}") if row else (None, "session:unknown")
    await _record(connection, user_id, action, on, refusal is None)
    if row is not None and refusal is not None and refusal.details["reason"] == "token_reused":
        await revoke(connection, row["user_id"], row["id"], source=f"/functions/{action.rpartition('.')[2]}")
    return refusal or _invalid() if refusal is not None or row is None else active_of(row)


async def revoke(
    connection: Connection, user_id: UUID, session_id: UUID, *, source: str, others: bool = False
) -> list[UUID]:
    """Ends one live session, or all the user's `others`, and says so in events."""
    rows = await connection.fetch(_END, user_id, session_id, others)
    for row in rows:
        event = SessionRevoked(user_id=user_id, session_id=row["id"])
        await record_event(connection, event, source=source, subject=str(row["id"]), user_id=user_id)
    return [row["id"] for row in rows]


async def _record(connection: Connection, actor: UUID | None, action: str, on: str, done: bool) -> None:
    await record_act(connection, actor=actor, action=action, on=on, outcome="done" if done else "refused")


async def _issue(connection: Connection, hashed: bytes, session_id: UUID) -> None:
    await connection.execute("INSERT INTO refresh_tokens (token_hash, session_id) VALUES ($1, $2)", hashed, session_id)


def _refusal(row: asyncpg.Record | None) -> Unauthorized | None:
    """Why a token that could not be used is refused; None for a client that repeats itself."""
    if row is None or not row["own"]:
        return _invalid()
    if not row["live"]:
        return Unauthorized("the session has ended", reason="session_ended")
    if not row["used"]:
        return Unauthorized("the refresh token has lain unused for too long", reason="token_expired")
    if row["repeatable"]:
        return None
    return Unauthorized("the refresh token was used before, so its session is ended", reason="token_reused")


def _invalid() -> Unauthorized:
    return Unauthorized("the refresh token is not valid", reason="token_invalid")


def active_of(row: asyncpg.Record) -> Active:
    """Of a row with the columns of live_sessions."""
    return Active(
        session_id=row["id"],
        user_id=row["user_id"],
        roles=frozenset(row["roles"]),
        tier=row["tier"],
        expires_at=row["expires_at"],
    )


def hash_of(token: str) -> bytes:
    return sha256(token.encode()).digest()


def _client(call: Call) -> bytes:
    return sha256(f"{call.user_agent}\0{call.address}".encode(errors="replace")).digest()


def _short(text: str) -> str:
    return "".join(character if character.isprintable() else "\ufffd" for character in text)[:300]
