"""API keys as rows, and the live ones remembered for half a second."""

import asyncio
import logging
import time
from collections import OrderedDict
from datetime import UTC, datetime
from hashlib import sha256
from typing import Self
from uuid import UUID, uuid4

import asyncpg

from shared.crypto import Codec
from shared.errors import Conflict, Unavailable
from shared.ports.api_keys import ActiveKey, ApiKey, NewApiKey
from shared.stores.key_text import HINT, is_key, new_key
from shared.stores.postgres.database import Connection, Database
from shared.stores.postgres.outbox import record_act

MOST_KEYS = 100
FRESH_S = 0.5
_REMEMBERED = 10_000
_USED_EVERY_S = 60

_CHECK = """
SELECT k.id, k.user_id, u.roles, u.tier, k.scopes, k.expires_at,
       coalesce(k.last_used_at < now() - make_interval(secs => $2), true) AS unnoted
FROM api_keys k JOIN users u ON u.id = k.user_id
WHERE k.key_hash = $1 AND (k.expires_at IS NULL OR k.expires_at > now()) AND u.is_active"""

_COLUMNS = "id, name, hint, scopes, created_at, expires_at, last_used_at"
_INSERT = f"""
INSERT INTO api_keys (id, user_id, name, key_hash, hint, scopes, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
RETURNING {_COLUMNS}"""
_LIST = f"SELECT {_COLUMNS} FROM api_keys WHERE user_id = $1 ORDER BY created_at DESC, id"

_NOTE_USE = """
UPDATE api_keys SET last_used_at = now()
WHERE id = ANY ($1) AND (last_used_at IS NULL OR last_used_at < now() - make_interval(secs => $2))"""

logger = logging.getLogger(__name__)


class PostgresApiKeys:
    def __init__(self, *, database: Database, codec: Codec) -> None:
        self._database = database
        self._codec = codec
        self._near: OrderedDict[bytes, tuple[ActiveKey, float]] = OrderedDict()
        self._used: set[UUID] = set()
        self._noting: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._noting is not None:
            await asyncio.wait([self._noting], timeout=2)

    async def check(self, text: str) -> ActiveKey | None:
        if not is_key(text):
            return None
        hashed = sha256(text.encode()).digest()
        near = self._near.get(hashed)
        if near is None or near[1] <= time.monotonic():
            near = await self._asked(hashed)
        if near is None or (near[0].expires_at is not None and near[0].expires_at <= datetime.now(UTC)):
            return None
        return near[0]

    async def create(
        self, user_id: UUID, *, name: str, scopes: frozenset[str], expires_at: datetime | None
    ) -> NewApiKey:
        text, key_id = new_key(), uuid4()
        sealed = self._codec.seal(name, table="api_keys", column="name", row=key_id)
        hashed = sha256(text.encode()).digest()
        row = None
        async with self._database.transaction() as connection:
            # Two who create at once count one after the other.
            await connection.execute("SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE", user_id)
            await connection.execute("DELETE FROM api_keys WHERE user_id = $1 AND expires_at <= now()", user_id)
            if await connection.fetchval("SELECT count(*) FROM api_keys WHERE user_id = $1", user_id) < MOST_KEYS:
                values = (key_id, user_id, sealed, hashed, text[:HINT], sorted(scopes), expires_at)
                row = await connection.fetchrow(_INSERT, *values)
            on = f"api_key:{key_id} scopes={','.join(sorted(scopes))}"
            await _record(connection, user_id, "auth.create_api_key", on, row is not None)
        if row is None:
            raise Conflict(f"nobody has more than {MOST_KEYS} live API keys")
        return NewApiKey(**self._key(row).model_dump(), key=text)

    async def of(self, user_id: UUID) -> tuple[ApiKey, ...]:
        return tuple(map(self._key, await self._database.fetch(_LIST, user_id)))

    async def delete(self, user_id: UUID, key_id: UUID) -> bool:
        async with self._database.transaction() as connection:
            hashed = await connection.fetchval(
                "DELETE FROM api_keys WHERE user_id = $1 AND id = $2 RETURNING key_hash", user_id, key_id
            )
            await _record(connection, user_id, "auth.delete_api_key", f"api_key:{key_id}", hashed is not None)
        self._near.pop(hashed, None)
        return hashed is not None

    async def _asked(self, hashed: bytes) -> tuple[ActiveKey, float] | None:
        asked = time.monotonic()
        row = await self._database.fetchrow(_CHECK, hashed, float(_USED_EVERY_S))
        if row is None:
            self._near.pop(hashed, None)
            return None
        if row["unnoted"]:
            self._note_use(row["id"])
        near = self._near[hashed] = (_active(row), asked + FRESH_S)
        self._near.move_to_end(hashed)
        if len(self._near) > _REMEMBERED:
            self._near.popitem(last=False)
        return near

    def _note_use(self, key_id: UUID) -> None:
        """Beside the request: it does not wait for what only its owner will look at."""
        self._used.add(key_id)
        if self._noting is None or self._noting.done():
            self._noting = asyncio.create_task(self._note())

    async def _note(self) -> None:
        while self._used:
            used, self._used = list(self._used), set()
            try:
                await self._database.execute(_NOTE_USE, used, float(_USED_EVERY_S))
            except Unavailable:
                logger.info("the use of %d API keys was not noted", len(used))

    def _key(self, row: asyncpg.Record) -> ApiKey:
        name = self._codec.open_text(row["name"], table="api_keys", column="name", row=row["id"])
        return ApiKey.model_validate({**row, "name": name})


async def _record(connection: Connection, actor: UUID, action: str, on: str, done: bool) -> None:
    await record_act(connection, actor=actor, action=action, on=on, outcome="done" if done else "refused")


def _active(row: asyncpg.Record) -> ActiveKey:
    return ActiveKey(
        key_id=row["id"],
        user_id=row["user_id"],
        roles=frozenset(row["roles"]),
        tier=row["tier"],
        scopes=frozenset(row["scopes"]),
        expires_at=row["expires_at"],
    )
