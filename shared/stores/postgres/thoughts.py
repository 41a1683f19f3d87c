"""Sessions of thoughts as rows."""

import secrets
from uuid import UUID, uuid4

import asyncpg

from shared import strict_json
from shared.crypto import KEY_BYTES, Codec
from shared.errors import NotFound, ToolError
from shared.ports.thoughts import (
    MOST_BRANCHES,
    MOST_SESSIONS,
    MOST_THOUGHTS,
    NAMED_LASTS_S,
    SESSION_BYTES,
    UNNAMED_LASTS_S,
    Passage,
    Standing,
    Thought,
)
from shared.stores.blind_text import BlindText
from shared.stores.postgres.database import Connection, Database

# A holder that was stopped must not keep all our connections waiting: whoever waits longer tries again later.
_LOCK_S = 5.0
_LOCK = "SELECT blind_key FROM thinkers WHERE user_id = $1 FOR NO KEY UPDATE"
# The lock waits for whoever is erasing the user; then there is none.
_MAKE = """
INSERT INTO thinkers (user_id, blind_key) SELECT id, $2 FROM users WHERE id = $1 FOR KEY SHARE ON CONFLICT DO NOTHING"""
_KEY = "SELECT blind_key FROM thinkers WHERE user_id = $1"
_BEFORE = "SELECT session_id, position FROM thoughts WHERE user_id = $1 AND execution_id = $2"
_FORGET = "DELETE FROM thought_sessions WHERE user_id = $1 AND expires_at < now()"
_SESSION = "SELECT * FROM thought_sessions WHERE user_id = $1 AND handle_key = $2 AND expires_at >= now()"
_COUNT = "SELECT count(*) FROM thought_sessions WHERE user_id = $1"
_BEGIN = """
INSERT INTO thought_sessions (id, user_id, handle_key, expires_at)
VALUES ($1, $2, $3, now() + make_interval(secs => $4)) RETURNING *"""
_ADD = """
INSERT INTO thoughts (session_id, position, user_id, execution_id, branch_key, body) VALUES ($1, $2, $3, $4, $5, $6)"""
_BRANCH = """
INSERT INTO thought_branches (session_id, branch_key, position, body) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING RETURNING 1"""
_ADDED = """
UPDATE thought_sessions SET thoughts = $2, branches = branches + $3, size_bytes = size_bytes + $4,
    expires_at = now() + make_interval(secs => $5) WHERE id = $1 RETURNING branches"""
_BRANCHES = """
SELECT position, body FROM thought_branches WHERE session_id = $1 AND position <= $2 ORDER BY position"""
_PASSAGE = """
SELECT s.id, s.thoughts, t.position, t.body FROM thought_sessions s LEFT JOIN LATERAL (
    SELECT position, body FROM thoughts WHERE session_id = s.id AND position > $3
    AND ($4::bytea IS NULL OR branch_key = $4) ORDER BY position LIMIT $5) t ON true
WHERE s.user_id = $1 AND s.handle_key = $2 AND s.expires_at >= now() ORDER BY t.position"""


class PostgresThoughts:
    def __init__(self, *, database: Database) -> None:
        self._database = database
        self._codec = Codec()

    async def append(self, user_id: UUID, execution_id: UUID, session: str, thought: Thought) -> Standing:
        written = strict_json.dump(thought.model_dump(mode="json", by_alias=True, exclude_none=True))
        async with self._database.transaction() as connection:
            key = await self._locked(connection, user_id)
            before = await connection.fetchrow(_BEFORE, user_id, execution_id)
            if before is not None:
                return await self._standing(connection, before["session_id"], before["position"])
            await connection.execute(_FORGET, user_id)
            row = await self._session(connection, user_id, key, session)
            position = _next_place(row, len(written))
            branch = _branches(key).exact(thought.branch) if thought.branch else None
            body = self._sealed("thoughts", row["id"], position, written)
            await connection.execute(_ADD, row["id"], position, user_id, execution_id, branch, body)
            begun = await self._begun(connection, row["id"], branch, position, thought.branch or "")
            lasts_s = NAMED_LASTS_S if session else UNNAMED_LASTS_S
            branches = await connection.fetchval(_ADDED, row["id"], position, begun, len(written), lasts_s)
            if branches > MOST_BRANCHES:
                raise ToolError(
                    f"this session has {MOST_BRANCHES} branches, the most it may have; go on in one of them"
                )
            return await self._standing(connection, row["id"], position)

    async def passage(self, user_id: UUID, session: str, *, branch: str | None, after: int, limit: int) -> Passage:
        sealed = await self._database.fetchval(_KEY, user_id)
        if sealed is None:
            return Passage(numbered=(), thoughts=0)
        key = self._opened_key(user_id, sealed)
        wanted = None if branch is None else _branches(key).exact(branch)
        rows = await self._database.fetch(_PASSAGE, user_id, _handles(key).exact(session), after, wanted, limit)
        numbered = tuple(
            (row["position"], Thought.model_validate_json(self._opened("thoughts", row["id"], row)))
            for row in rows
            if row["position"] is not None
        )
        return Passage(numbered=numbered, thoughts=rows[0]["thoughts"] if rows else 0)

    async def _session(self, connection: Connection, user_id: UUID, key: bytes, session: str) -> asyncpg.Record:
        handle = _handles(key).exact(session)
        row = await connection.fetchrow(_SESSION, user_id, handle)
        if row is None:
            if await connection.fetchval(_COUNT, user_id) >= MOST_SESSIONS:
                raise ToolError(
                    f"there are {MOST_SESSIONS} sessions, the most there may be; go on in one of them, by its sessionId"
                )
            lasts_s = NAMED_LASTS_S if session else UNNAMED_LASTS_S
            row = await connection.fetchrow(_BEGIN, uuid4(), user_id, handle, lasts_s)
            assert row is not None
        return row

    async def _begun(
        self, connection: Connection, session_id: UUID, branch: bytes | None, position: int, name: str
    ) -> int:
        """How many branches begin here: one or none."""
        if branch is None:
            return 0
        body = self._sealed("thought_branches", session_id, position, name.encode())
        return await connection.fetchval(_BRANCH, session_id, branch, position, body) or 0

    async def _standing(self, connection: Connection, session_id: UUID, position: int) -> Standing:
        """As it was at this place: what came later does not show."""
        rows = await connection.fetch(_BRANCHES, session_id, position)
        names = tuple(self._opened("thought_branches", session_id, row).decode() for row in rows)
        return Standing(thoughts=position, branches=names)

    async def _locked(self, connection: Connection, user_id: UUID) -> bytes:
        """The user's key. Raises NotFound where there is no such user."""
        sealed = await connection.fetchval(_LOCK, user_id, timeout=_LOCK_S)
        if sealed is None:
            made = self._codec.seal(secrets.token_bytes(KEY_BYTES), table="thinkers", column="blind_key", row=user_id)
            await connection.execute(_MAKE, user_id, made)
            sealed = await connection.fetchval(_LOCK, user_id, timeout=_LOCK_S)
        if sealed is None:
            raise NotFound(f"no user {str(user_id)!r}")
        return self._opened_key(user_id, sealed)

    def _opened_key(self, user_id: UUID, sealed: bytes) -> bytes:
        return self._codec.open(sealed, table="thinkers", column="blind_key", row=user_id)

    def _sealed(self, table: str, session_id: UUID, position: int, value: bytes) -> bytes:
        return self._codec.seal(value, table=table, column="body", row=f"{session_id}/{position}")

    def _opened(self, table: str, session_id: UUID, row: asyncpg.Record) -> bytes:
        return self._codec.open(row["body"], table=table, column="body", row=f"{session_id}/{row['position']}")


def _handles(key: bytes) -> BlindText:
    return BlindText(key, "handle")


def _branches(key: bytes) -> BlindText:
    return BlindText(key, "branch")


def _next_place(session: asyncpg.Record, more_bytes: int) -> int:
    if session["thoughts"] >= MOST_THOUGHTS or session["size_bytes"] + more_bytes > SESSION_BYTES:
        raise ToolError(
            f"this session is full with {session['thoughts']} thoughts ({MOST_THOUGHTS} thoughts or {SESSION_BYTES}"
            " bytes are the most it may hold); go on in a new one, by another sessionId"
        )
    return int(session["thoughts"]) + 1
