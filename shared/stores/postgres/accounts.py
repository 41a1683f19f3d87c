"""What a user has of something, in one row: whoever changes it locks that row, and names are hashed by its key."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal
from uuid import UUID

import asyncpg

from shared.crypto import Codec, keyed_hash
from shared.errors import NotFound
from shared.stores.postgres.database import Connection, Database

KEY_BYTES = 32
Table = Literal["bank_accounts", "context_accounts"]


class Names:
    """Hashes of one user's names, by which they are found again while they lie sealed."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def index(self, column: str, name: str) -> bytes:
        return keyed_hash(self._key, column, name.encode())


class Accounts:
    """The rows of one table. The key lies sealed in the user's own row, since a confined process reads no key files."""

    def __init__(self, table: Table, database: Database, codec: Codec) -> None:
        self._table = table
        self._database = database
        self._codec = codec

    async def names(self, user_id: UUID) -> Names:
        """Begins the account where there is none. Raises NotFound without a user."""
        sealed = await self._key(user_id)
        if sealed is None:
            made = self._codec.seal(secrets.token_bytes(KEY_BYTES), **self._at(user_id))
            begin = f"INSERT INTO {self._table} (user_id, blind_key) VALUES ($1, $2) ON CONFLICT DO NOTHING"
            try:
                await self._database.execute(begin, user_id, made)
            except asyncpg.ForeignKeyViolationError as exc:
                raise _gone(user_id) from exc
            sealed = await self._key(user_id)
        if sealed is None:
            raise _gone(user_id)
        return Names(self._codec.open(sealed, **self._at(user_id)))

    @asynccontextmanager
    async def changing(self, user_id: UUID) -> AsyncIterator[tuple[Connection, asyncpg.Record]]:
        """A transaction alone with an account that was begun. Raises NotFound when the user was erased since."""
        async with self._database.transaction() as connection:
            account = await connection.fetchrow(f"SELECT * FROM {self._table} WHERE user_id = $1 FOR UPDATE", user_id)
            if account is None:
                raise _gone(user_id)
            yield connection, account

    async def _key(self, user_id: UUID) -> bytes | None:
        key: bytes | None = await self._database.fetchval(
            f"SELECT blind_key FROM {self._table} WHERE user_id = $1", user_id
        )
        return key

    def _at(self, user_id: UUID) -> dict[str, str]:
        return {"table": self._table, "column": "blind_key", "row": str(user_id)}


def _gone(user_id: UUID) -> NotFound:
    return NotFound(f"no user {str(user_id)!r}")
