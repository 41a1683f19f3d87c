"""Collections of vectors, and the other names they go by."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from shared.errors import Conflict, NotFound
from shared.paging import cursor_of_name, name_before
from shared.ports.vector_engine import Backend, Metric
from shared.ports.vectors import MOST_ALIASES, MOST_COLLECTIONS, Alias, AliasList, Collection, CollectionList, Kept
from shared.stores.postgres.database import Connection, Database
from shared.stores.postgres.outbox import record_act

_COLUMNS = "name, dimension, metric, model_id AS model, backends, vectors, seq, created_at"
_INSERT = f"""
INSERT INTO vector_collections (id, user_id, name, dimension, metric, model_id, backends)
SELECT $1, $2, $3, $4, $5, $6, $7 WHERE NOT EXISTS (SELECT FROM vector_aliases WHERE user_id = $2 AND alias = $3)
ON CONFLICT (user_id, name) DO NOTHING
RETURNING {_COLUMNS}"""
_LIST = f"SELECT {_COLUMNS} FROM vector_collections WHERE user_id = $1 AND name > $2 ORDER BY name LIMIT $3"
KEPT = (
    "c.id, c.user_id, c.name, c.dimension, c.metric, c.model_id AS model, c.backends, c.seq, c.trimmed_seq, "
    "c.texts, c.words"
)
_KEPT = ("id", "user_id", "name", "dimension", "metric", "model", "seq", "trimmed_seq", "texts", "words")
_NAMED = """
FROM vector_collections c WHERE c.user_id = $1 AND c.name = coalesce(
    (SELECT name FROM vector_collections WHERE user_id = $1 AND name = $2),
    (SELECT collection_name FROM vector_aliases WHERE user_id = $1 AND alias = $2))"""
FIND = f"SELECT {KEPT}, c.last_number {_NAMED}"
_GET = f"SELECT {_COLUMNS} {_NAMED}"
_PIN = """
UPDATE vector_collections SET model_id = CASE WHEN seq = 0 THEN coalesce(model_id, $2) ELSE model_id END
WHERE id = $1 RETURNING model_id AS model"""
_POINT = """
INSERT INTO vector_aliases (user_id, alias, collection_name) VALUES ($1, $2, $3)
ON CONFLICT (user_id, alias) DO UPDATE SET collection_name = excluded.collection_name"""
_ALIAS = "SELECT alias, collection_name AS collection FROM vector_aliases WHERE user_id = $1"
_ALIASES = f"{_ALIAS} AND alias > $2 ORDER BY alias LIMIT $3"
# One that is there can always be pointed elsewhere.
_FITS = "SELECT count(*) < $3 OR bool_or(alias = $2) FROM vector_aliases WHERE user_id = $1"
# All its vectors go with it.
_DELETING_S = 60


class PostgresCollections:
    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def create(
        self,
        user_id: UUID,
        name: str,
        *,
        dimension: int,
        metric: Metric,
        model: str | None,
        backends: Sequence[Backend],
    ) -> Collection:
        async with self._database.transaction() as connection:
            await _in_turn(connection, user_id)
            count = await connection.fetchval("SELECT count(*) FROM vector_collections WHERE user_id = $1", user_id)
            row = None
            if count < MOST_COLLECTIONS:
                values = (uuid4(), user_id, name, dimension, metric, model, list(backends))
                row = await connection.fetchrow(_INSERT, *values)
            await _record(connection, user_id, "vectors.create_collection", name, row is not None)
        if count >= MOST_COLLECTIONS:
            raise Conflict(f"nobody has more than {MOST_COLLECTIONS} collections")
        if row is None:
            raise Conflict(f"there is a collection or an alias {name!r} already")
        return _collection(row)

    async def list(self, user_id: UUID, *, limit: int, cursor: str | None) -> CollectionList:
        rows = await self._database.fetch(_LIST, user_id, name_before(cursor), limit + 1)
        more = cursor_of_name(rows[limit - 1]["name"]) if len(rows) > limit else None
        return CollectionList(collections=[_collection(row) for row in rows[:limit]], next_cursor=more)

    async def get(self, user_id: UUID, name: str) -> Collection:
        row = await self._database.fetchrow(_GET, user_id, name)
        if row is None:
            raise _no_collection(name)
        return _collection(row)

    async def find(self, user_id: UUID, name: str) -> Kept:
        return kept(await self._database.fetchrow(FIND, user_id, name), name)

    async def pin(self, collection: Kept, model: str) -> None:
        async with self._database.transaction() as connection:
            # It may have been written to since.
            row = await connection.fetchrow(_PIN, collection.id, model)
            pinned = row is not None and row["model"] == model
            on = f"{collection.name} to {model}"
            await _record(connection, collection.user_id, "vectors.pin_model", on, pinned)
        if row is None:
            raise _no_collection(collection.name)
        if not pinned:
            raise Conflict(f"{collection.name!r} does not hold vectors of {model!r}", model=collection.model)

    async def delete(self, user_id: UUID, name: str) -> bool:
        async with self._database.transaction() as connection:
            statement = "DELETE FROM vector_collections WHERE user_id = $1 AND name = $2"
            done = await connection.execute(statement, user_id, name, timeout=_DELETING_S) != "DELETE 0"
            await _record(connection, user_id, "vectors.delete_collection", name, done)
        return done

    async def point(self, user_id: UUID, alias: str, name: str) -> Alias:
        async with self._database.transaction() as connection:
            await _in_turn(connection, user_id)
            collection = kept(await connection.fetchrow(FIND, user_id, name), name)
            statement = "SELECT true FROM vector_collections WHERE user_id = $1 AND name = $2"
            taken = await connection.fetchval(statement, user_id, alias)
            fits = await connection.fetchval(_FITS, user_id, alias, MOST_ALIASES)
            if done := fits and not taken:
                await connection.execute(_POINT, user_id, alias, collection.name)
            await _record(connection, user_id, "vectors.point_alias", f"{alias} to {collection.name}", done)
        if taken:
            raise Conflict(f"there is a collection {alias!r}")
        if not fits:
            raise Conflict(f"nobody has more than {MOST_ALIASES} aliases")
        return Alias(alias=alias, collection=collection.name)

    async def aliases(self, user_id: UUID, *, limit: int, cursor: str | None) -> AliasList:
        rows = await self._database.fetch(_ALIASES, user_id, name_before(cursor), limit + 1)
        more = cursor_of_name(rows[limit - 1]["alias"]) if len(rows) > limit else None
        return AliasList(aliases=[_alias(row) for row in rows[:limit]], next_cursor=more)

    async def alias(self, user_id: UUID, alias: str) -> Alias | None:
        row = await self._database.fetchrow(f"{_ALIAS} AND alias = $2", user_id, alias)
        return None if row is None else _alias(row)

    async def unpoint(self, user_id: UUID, alias: str) -> bool:
        async with self._database.transaction() as connection:
            statement = "DELETE FROM vector_aliases WHERE user_id = $1 AND alias = $2"
            done = await connection.execute(statement, user_id, alias) != "DELETE 0"
            await _record(connection, user_id, "vectors.delete_alias", alias, done)
        return done


def kept(row: asyncpg.Record | None, name: str) -> Kept:
    """Raises NotFound."""
    if row is None:
        raise _no_collection(name)
    values: dict[str, Any] = {key: row[key] for key in _KEPT}
    return Kept(**values, backends=tuple(row["backends"]))


def _no_collection(name: str) -> NotFound:
    return NotFound(f"no collection {name[:200]!r}")


async def _in_turn(connection: Connection, user_id: UUID) -> None:
    """Names are taken one after the other. Raises NotFound for a user who is gone."""
    if await connection.fetchval("SELECT id FROM users WHERE id = $1 FOR NO KEY UPDATE", user_id) is None:
        raise NotFound("this user is gone")


async def _record(connection: Connection, user_id: UUID, action: str, name: str, done: bool) -> None:
    on = f"collection:{name}"
    await record_act(connection, actor=user_id, action=action, on=on, outcome="done" if done else "refused")


def _collection(row: asyncpg.Record) -> Collection:
    return Collection.model_validate(dict(row))


def _alias(row: asyncpg.Record) -> Alias:
    return Alias.model_validate(dict(row))
