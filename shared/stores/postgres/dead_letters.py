"""Dead letters in the record."""

from events.base import Envelope
from shared.stores.postgres.database import Database


class PostgresDeadLetters:
    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def refuse(self, consumer: str, event: Envelope, *, reason: str, error: str, attempts: int = 1) -> None:
        await self._database.execute(
            "INSERT INTO dead_letters (reason, consumer, event, attempts, error) VALUES ($1, $2, $3, $4, $5)"
            " ON CONFLICT DO NOTHING",
            reason,
            consumer,
            event.model_dump(mode="json", by_alias=True, exclude_none=True),
            attempts,
            error[:1000],
        )
