"""How far each consumer of domain events has come: what it has done, and what was put in its queue."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shared.stores.postgres.database import Database
from shared.stores.postgres.events import ENVELOPE

# What a consumer is meant to get: events of its type, and those addressed to it alone.
_MEANT = "(e.type = c.type AND e.consumer IS NULL OR e.consumer = c.name)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Events up to `done` are over; `attempts` were made at the next one."""

    name: str
    type: str | None
    done: int
    carried: int
    attempts: int = 0


class Consumers:
    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def register(self, name: str, type: str) -> None:
        """A new one starts with the oldest event there is."""
        await self._database.execute(
            "INSERT INTO consumers AS c (name, seq, type) VALUES ($1, 0, $2)"
            " ON CONFLICT (name) DO UPDATE SET type = excluded.type WHERE c.type IS DISTINCT FROM excluded.type",
            name,
            type,
        )

    async def all(self) -> list[Progress]:
        rows = await self._database.fetch("SELECT name, type, seq, carried, attempts FROM consumers ORDER BY name")
        return [_progress(row) for row in rows]

    async def progress(self, name: str) -> Progress:
        row = await self._database.fetchrow(
            "SELECT name, type, seq, carried, attempts FROM consumers WHERE name = $1", name
        )
        return _progress(row) if row else Progress(name=name, type=None, done=0, carried=0)

    async def finished(self, name: str, seq: int) -> None:
        await self._database.execute(
            "UPDATE consumers SET seq = greatest(seq, $2), attempts = 0, due_at = now() WHERE name = $1", name, seq
        )

    async def failed(self, name: str, attempts: int) -> None:
        await self._database.execute("UPDATE consumers SET attempts = $2 WHERE name = $1", name, attempts)

    async def newest(self) -> int:
        newest: int = await self._database.fetchval("SELECT coalesce(max(seq), 0) FROM events")
        return newest

    async def events(
        self, *, after: int, upto: int, types: Sequence[str], names: Sequence[str], outside: Sequence[str], limit: int
    ) -> list[Any]:
        """Rows of `seq`, `consumer` and the envelope's columns, in order. `outside`: of these types, those that are
        addressed to anybody, too."""
        return await self._database.fetch(
            f"SELECT seq, consumer, {ENVELOPE} FROM events WHERE seq > $1 AND seq <= $2"
            " AND (type = ANY($3) AND consumer IS NULL OR consumer = ANY($4) OR type = ANY($5)) ORDER BY seq LIMIT $6",
            after,
            upto,
            list(types),
            list(names),
            list(outside),
            limit,
        )

    async def carried(self, names: Sequence[str], upto: int) -> None:
        await self._database.execute("UPDATE consumers SET carried = $2 WHERE name = ANY($1)", list(names), upto)

    async def idle(self) -> None:
        """Whoever was carried nothing that is not done has nothing left up to there."""
        await self._database.execute(
            "UPDATE consumers c SET seq = carried, due_at = now() WHERE seq < carried AND NOT EXISTS ("
            f"SELECT FROM events e WHERE e.seq > c.seq AND e.seq <= c.carried AND {_MEANT})"
        )

    async def carry_again(self, name: str) -> None:
        await self._database.execute("UPDATE consumers SET carried = seq WHERE name = $1", name)


def _progress(row: Any) -> Progress:
    return Progress(
        name=row["name"], type=row["type"], done=row["seq"], carried=row["carried"], attempts=row["attempts"]
    )
