"""Codes and handles of browsers as hashes beside their sessions."""

import secrets
from hashlib import sha256
from uuid import UUID

from shared.config import Settings
from shared.crypto import same, ui_key
from shared.errors import Unauthorized
from shared.ports.sessions import Active
from shared.ports.ui_sessions import CODE_S
from shared.stores.postgres.database import Connection, Database
from shared.stores.postgres.outbox import record_act
from shared.stores.postgres.sessions import IDLE_DAYS, active_of

_OFFER = """
INSERT INTO ui_sessions (session_id, code_hash, code_expires_at)
VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (session_id) DO UPDATE
SET code_hash = excluded.code_hash, code_expires_at = excluded.code_expires_at, handle_hash = NULL"""

_OPEN = """
UPDATE ui_sessions u SET code_hash = NULL, code_expires_at = NULL, handle_hash = $2 FROM live_sessions s
WHERE u.code_hash = $1 AND u.code_expires_at > clock_timestamp() AND s.id = u.session_id
RETURNING s.*"""

_EXCHANGE = """
UPDATE sessions t SET last_used_at = now() FROM ui_sessions u, live_sessions s
WHERE u.handle_hash = $1 AND s.id = u.session_id AND t.id = s.id
  AND t.last_used_at > now() - make_interval(days => $2)
RETURNING s.*"""


class PostgresUiSessions:
    def __init__(self, *, database: Database, settings: Settings) -> None:
        self._database = database
        self._ui_key = ui_key(settings.keys_dir)
        self._origins = settings.ui_origins

    def admits(self, origin: str | None) -> bool:
        return origin is not None and origin.lower() in self._origins

    async def offer(self, user_id: UUID, session_id: UUID) -> str:
        code = secrets.token_urlsafe(32)
        async with self._database.transaction() as connection:
            await connection.execute(_OFFER, session_id, _hash(code), CODE_S)
            await _record(connection, user_id, "auth.create_ui_code", session_id)
        return code

    async def open(self, code: str) -> tuple[str, Active]:
        handle = secrets.token_urlsafe(32)
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(_OPEN, _hash(code), _hash(handle))
            session = active_of(row) if row else None
            await _record_of(connection, session, "auth.open_ui_session")
        if session is None:
            raise Unauthorized("the code is not valid any more; sign in again", reason="code_invalid")
        return handle, session

    async def exchange(self, handle: str, ui_key: str) -> Active:
        # Before anything is written: whoever has no key must not fill the audit trail.
        if not same(ui_key.encode(errors="replace"), self._ui_key.hex().encode()):
            raise Unauthorized("only the UI may exchange a handle", reason="ui_key_invalid")
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(_EXCHANGE, _hash(handle), IDLE_DAYS)
            session = active_of(row) if row else None
            await _record_of(connection, session, "auth.exchange_ui_session")
        if session is None:
            raise Unauthorized("the session has ended", reason="session_ended")
        return session


async def _record(connection: Connection, actor: UUID, action: str, session_id: UUID) -> None:
    await record_act(connection, actor=actor, action=action, on=f"session:{session_id}")


async def _record_of(connection: Connection, session: Active | None, action: str) -> None:
    if session is None:
        await record_act(connection, actor=None, action=action, on="session:unknown", outcome="refused")
    else:
        await _record(connection, session.user_id, action, session.session_id)


def _hash(secret: str) -> bytes:
    return sha256(secret.encode(errors="replace")).digest()
