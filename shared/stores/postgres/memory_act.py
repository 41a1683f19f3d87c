"""One act on a graph: alone with it, within its bounds, and once for each execution."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg

from shared.errors import NotFound, ToolError
from shared.ports.memory import GRAPH_BYTES, MOST_ENTITIES, MOST_OBSERVATIONS, MOST_RELATIONS
from shared.stores.postgres import memory_sql as sql
from shared.stores.postgres.database import Connection, Database
from shared.stores.postgres.memory_rows import EntityRow, ObservationRow, RelationRow

# Places in what was asked for, of what was new.
Done = list[list[int]]

# A holder that was stopped must not keep all our connections waiting: whoever waits longer tries again later.
LOCK_S = 5.0

_MOST = {
    "entities": MOST_ENTITIES,
    "observations": MOST_OBSERVATIONS,
    "relations": MOST_RELATIONS,
    "size_bytes": GRAPH_BYTES,
}


class Act:
    """`done`: what an earlier attempt of this execution did; None where this is the first, which has to set it."""

    def __init__(self, connection: Connection, user_id: UUID, standing: asyncpg.Record, done: Done | None) -> None:
        self.connection = connection
        self.done = done
        self._user_id = user_id
        self._standing = standing
        self._change = (0, 0, 0, 0)

    async def insert(
        self,
        *,
        entities: Sequence[EntityRow] = (),
        observations: Sequence[ObservationRow] = (),
        relations: Sequence[RelationRow] = (),
    ) -> None:
        """Raises ToolError where the graph would become too large."""
        size = sum(row.size_bytes for rows in (entities, observations, relations) for row in rows)
        self._change = (len(entities), len(observations), len(relations), size)
        self._check_bounds()
        inserted = {sql.INSERT_ENTITY: entities, sql.INSERT_OBSERVATION: observations, sql.INSERT_RELATION: relations}
        for statement, rows in inserted.items():
            if rows:
                await self.connection.executemany(statement, rows)

    async def delete(
        self,
        *,
        observations: tuple[str, list[object]] | None = None,
        relations: tuple[str, list[object]] | None = None,
        entities: tuple[str, list[object]] | None = None,
    ) -> None:
        """Statements that answer the sizes of what is gone, with their values; entities go last."""
        gone = []
        for asked in (observations, relations, entities):
            rows = await self.connection.fetch(asked[0], self._user_id, *asked[1]) if asked else []
            gone.append([row["size_bytes"] for row in rows])
        self._change = (-len(gone[2]), -len(gone[0]), -len(gone[1]), -sum(map(sum, gone)))

    async def settle(self, execution_id: UUID) -> None:
        await self.connection.execute(sql.SETTLE, self._user_id, execution_id, self.done or [], *self._change)

    def _check_bounds(self) -> None:
        for (what, most), more in zip(_MOST.items(), self._change, strict=True):
            held = self._standing[what]
            if more > 0 and held + more > most:
                unit = "bytes" if what == "size_bytes" else what
                raise ToolError(
                    f"the graph holds {held} {unit}, with this it would be {held + more}, and {most} is the most it may"
                    " hold; delete what is no longer needed first"
                )


@asynccontextmanager
async def acting(database: Database, user_id: UUID, execution_id: UUID) -> AsyncIterator[Act]:
    """Holds the graph until the end of the block, which commits. Raises NotFound where there is no graph."""
    async with database.transaction() as connection:
        standing = await connection.fetchrow(sql.LOCK_GRAPH, user_id, timeout=LOCK_S)
        if standing is None:
            raise NotFound(f"no user {str(user_id)!r}")
        before: Done | None = await connection.fetchval(sql.DONE, user_id, execution_id)
        act = Act(connection, user_id, standing, before)
        yield act
        if before is None:
            await act.settle(execution_id)
