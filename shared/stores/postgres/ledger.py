"""The ledger in the record."""

from uuid import UUID

from shared.stores.postgres.database import Database


class PostgresLedger:
    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def write(self, user_id: UUID, execution_id: UUID, step: str, attempt: int) -> bool:
        written = await self._database.fetchval(
            "INSERT INTO ledger (execution_id, step, user_id, attempt) VALUES ($1, $2, $3, $4)"
            " ON CONFLICT DO NOTHING RETURNING true",
            execution_id,
            step,
            user_id,
            attempt,
        )
        return written is True

    async def count(self, user_id: UUID, execution_id: UUID) -> int:
        number: int = await self._database.fetchval(
            "SELECT count(*) FROM ledger WHERE user_id = $1 AND execution_id = $2", user_id, execution_id
        )
        return number
