"""The memory bank as rows: names are found by keyed hashes, and lie sealed beside the content."""

from uuid import UUID, uuid4

import asyncpg

from shared.crypto import Codec
from shared.errors import ToolError
from shared.stores.postgres.accounts import Accounts
from shared.stores.postgres.database import Connection, Database

MOST_FILES = 10_000
MOST_BYTES = 64 << 20
# A task waits for up to 30 days, and may run again within them.
_REMEMBERED_DAYS = 31

_KNOWN = "SELECT true FROM bank_acts WHERE user_id = $1 AND execution_id = $2"
_ACT = "INSERT INTO bank_acts (user_id, execution_id) VALUES ($1, $2)"
_FORGET_ACTS = "DELETE FROM bank_acts WHERE user_id = $1 AND at < now() - make_interval(days => $2)"
_ACCOUNT = "UPDATE bank_accounts SET files = files + $2, size_bytes = size_bytes + $3 WHERE user_id = $1"

_PROJECTS = "SELECT DISTINCT ON (project_index) id, project FROM bank_files WHERE user_id = $1"
_FILES = "SELECT id, name FROM bank_files WHERE user_id = $1 AND project_index = $2"
_ONE = "user_id = $1 AND project_index = $2 AND name_index = $3"
_READ = f"SELECT id, content FROM bank_files WHERE {_ONE}"
_FIND = f"SELECT id, size_bytes FROM bank_files WHERE {_ONE}"
_INSERT = """
INSERT INTO bank_files (user_id, project_index, name_index, id, project, name, content, size_bytes)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"""
_UPDATE = "UPDATE bank_files SET content = $3, size_bytes = $4, updated_at = now() WHERE user_id = $1 AND id = $2"
_DELETE = "DELETE FROM bank_files WHERE user_id = $1 AND id = $2"


class PostgresMemoryBank:
    def __init__(self, *, database: Database, codec: Codec) -> None:
        self._database = database
        self._codec = codec
        self._accounts = Accounts("bank_accounts", database, codec)

    async def projects(self, user_id: UUID) -> list[str]:
        rows = await self._database.fetch(_PROJECTS, user_id)
        return sorted(self._opened("project", row) for row in rows)

    async def files(self, user_id: UUID, project: str) -> list[str]:
        names = await self._accounts.names(user_id)
        rows = await self._database.fetch(_FILES, user_id, names.index("project", project))
        return sorted(self._opened("name", row) for row in rows)

    async def read(self, user_id: UUID, project: str, file: str) -> str | None:
        row = await self._database.fetchrow(_READ, *await self._place(user_id, project, file))
        return self._opened("content", row) if row else None

    async def create(self, user_id: UUID, project: str, file: str, content: str, *, execution_id: UUID) -> bool:
        place, file_id = await self._place(user_id, project, file), uuid4()
        async with self._accounts.changing(user_id) as (connection, account):
            if await _done_before(connection, user_id, execution_id):
                return True
            if await connection.fetchrow(_FIND, *place):
                return False
            size = len(content.encode())
            _admit(account, 1, size)
            texts = (("project", project), ("name", file), ("content", content))
            sealed = [self._sealed(column, text, file_id) for column, text in texts]
            await connection.execute(_INSERT, *place, file_id, *sealed, size)
            await _account_for(connection, user_id, execution_id, 1, size)
        return True

    async def update(self, user_id: UUID, project: str, file: str, content: str, *, execution_id: UUID) -> bool:
        place = await self._place(user_id, project, file)
        async with self._accounts.changing(user_id) as (connection, account):
            if await _done_before(connection, user_id, execution_id):
                return True
            found = await connection.fetchrow(_FIND, *place)
            if found is None:
                return False
            size = len(content.encode())
            _admit(account, 0, size - found["size_bytes"])
            sealed = self._sealed("content", content, found["id"])
            await connection.execute(_UPDATE, user_id, found["id"], sealed, size)
            await _account_for(connection, user_id, execution_id, 0, size - found["size_bytes"])
        return True

    async def delete(self, user_id: UUID, project: str, file: str, *, execution_id: UUID) -> bool:
        place = await self._place(user_id, project, file)
        async with self._accounts.changing(user_id) as (connection, _):
            if await _done_before(connection, user_id, execution_id):
                return True
            found = await connection.fetchrow(_FIND, *place)
            if found is None:
                return False
            await connection.execute(_DELETE, user_id, found["id"])
            await _account_for(connection, user_id, execution_id, -1, -found["size_bytes"])
        return True

    async def _place(self, user_id: UUID, project: str, file: str) -> tuple[UUID, bytes, bytes]:
        names = await self._accounts.names(user_id)
        return user_id, names.index("project", project), names.index("name", file)

    def _sealed(self, column: str, text: str, file_id: UUID) -> bytes:
        return self._codec.seal(text, table="bank_files", column=column, row=file_id)

    def _opened(self, column: str, row: asyncpg.Record) -> str:
        return self._codec.open_text(row[column], table="bank_files", column=column, row=row["id"])


def _admit(account: asyncpg.Record, files: int, size_bytes: int) -> None:
    # Who has too much already may still make it less.
    if files > 0 and account["files"] + files > MOST_FILES:
        raise ToolError(f"a memory bank holds at most {MOST_FILES} files; delete one with memory_bank_delete first")
    if size_bytes > 0 and account["size_bytes"] + size_bytes > MOST_BYTES:
        free = max(0, MOST_BYTES - account["size_bytes"])
        raise ToolError(
            f"a memory bank holds at most {MOST_BYTES} bytes, and {free} are free;"
            " shorten a file with memory_bank_update or delete one with memory_bank_delete first"
        )


async def _done_before(connection: Connection, user_id: UUID, execution_id: UUID) -> bool:
    return await connection.fetchval(_KNOWN, user_id, execution_id) is True


async def _account_for(connection: Connection, user_id: UUID, execution_id: UUID, files: int, size_bytes: int) -> None:
    await connection.execute(_ACT, user_id, execution_id)
    await connection.execute(_FORGET_ACTS, user_id, _REMEMBERED_DAYS)
    await connection.execute(_ACCOUNT, user_id, files, size_bytes)
