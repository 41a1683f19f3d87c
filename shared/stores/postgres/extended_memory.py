"""Contexts as rows: projects and tags are found by keyed hashes, and lie sealed beside the content."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from shared.crypto import Codec
from shared.errors import ToolError
from shared.ports.extended_memory import Context, Loaded, NewContext, Project, Saved, Tag
from shared.stores.postgres.accounts import Accounts, Names
from shared.stores.postgres.database import Connection, Database

MOST_CONTEXTS = 10_000
MOST_BYTES = 64 << 20
# A task waits for up to 30 days, and may run again within them.
_REMEMBERED_DAYS = 31

_KNOWN = "SELECT context_id, at FROM context_acts WHERE user_id = $1 AND execution_id = $2"
_ACT = "INSERT INTO context_acts (user_id, execution_id, context_id) VALUES ($1, $2, $3) RETURNING at"
_FORGET_ACTS = "DELETE FROM context_acts WHERE user_id = $1 AND at < now() - make_interval(days => $2)"
_MORE = """
UPDATE context_accounts SET last_id = last_id + 1, contexts = contexts + 1, size_bytes = size_bytes + $2
WHERE user_id = $1 RETURNING last_id"""
_LESS = "UPDATE context_accounts SET contexts = contexts - 1, size_bytes = size_bytes - $2 WHERE user_id = $1"
_INSERT = """
INSERT INTO contexts
    (user_id, id, project_index, project, importance, tag_indexes, tags, content, size_bytes)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"""
_DELETE = "DELETE FROM contexts WHERE user_id = $1 AND id = $2 RETURNING size_bytes"

# The page ends before what would make it too large, but never before its first row.
_LOAD = """
WITH matching AS NOT MATERIALIZED (
    SELECT * FROM contexts WHERE user_id = $1 AND project_index = $2
    AND (cardinality($4::bytea[]) = 0 OR tag_indexes && $4)
), counted AS (
    SELECT count(*) FILTER (WHERE importance >= $3) AS total, count(*) FILTER (WHERE importance < $3) AS lesser
    FROM matching
), page AS (
    SELECT id, sum(size_bytes) OVER (ORDER BY importance DESC, id DESC) - size_bytes AS before, size_bytes
    FROM (SELECT * FROM matching WHERE importance >= $3 ORDER BY importance DESC, id DESC LIMIT $5 OFFSET $6) first
)
SELECT counted.*, c.id, c.content, c.importance, c.tags, c.created_at
FROM counted LEFT JOIN (
    page JOIN contexts c ON c.user_id = $1 AND c.id = page.id
    AND (page.before = 0 OR page.before + page.size_bytes <= $7)) ON true
ORDER BY c.importance DESC, c.id DESC"""

_PROJECTS = """
SELECT used.uses, used.last_activity, c.id, c.project FROM (
    SELECT count(*) AS uses, max(created_at) AS last_activity, max(id) AS id
    FROM contexts WHERE user_id = $1 GROUP BY project_index) used
JOIN contexts c ON c.user_id = $1 AND c.id = used.id ORDER BY c.id DESC"""

# `latest` is where a tag stands last: the context, and its place among that one's tags, which are sorted by name.
_TAGS = """
SELECT used.uses, -used.latest[2] AS place, c.id, c.tags FROM (
    SELECT count(*) AS uses, max(ARRAY[c.id, -tag.place]) AS latest
    FROM contexts c, unnest(c.tag_indexes) WITH ORDINALITY tag (index, place)
    WHERE c.user_id = $1 AND c.project_index = $2
    GROUP BY tag.index HAVING count(*) >= $3 ORDER BY uses DESC, latest DESC LIMIT $4) used
JOIN contexts c ON c.user_id = $1 AND c.id = used.latest[1] ORDER BY used.uses DESC, used.latest DESC"""


class PostgresExtendedMemory:
    def __init__(self, *, database: Database, codec: Codec) -> None:
        self._database = database
        self._codec = codec
        self._accounts = Accounts("context_accounts", database, codec)

    async def save(self, user_id: UUID, new: NewContext, *, execution_id: UUID) -> Saved:
        size = sum(len(text.encode()) for text in (new.content, new.project, *new.tags))
        names = await self._accounts.names(user_id)
        async with self._accounts.changing(user_id) as (connection, account):
            known = await connection.fetchrow(_KNOWN, user_id, execution_id)
            if known is not None:
                return Saved(context_id=known["context_id"], at=known["at"])
            _admit(account, size)
            context_id = await connection.fetchval(_MORE, user_id, size)
            await connection.execute(_INSERT, user_id, context_id, *self._values(user_id, context_id, new, names), size)
            at = await _acted(connection, user_id, execution_id, context_id)
        return Saved(context_id=context_id, at=at)

    async def load(
        self,
        user_id: UUID,
        project: str,
        *,
        least_importance: int,
        any_tag: Sequence[str],
        limit: int,
        offset: int,
        limit_bytes: int,
    ) -> Loaded:
        names = await self._accounts.names(user_id)
        tags = [names.index("tags", tag) for tag in any_tag]
        asked = (names.index("project", project), least_importance, tags, limit, offset, limit_bytes)
        rows = await self._database.fetch(_LOAD, user_id, *asked)
        contexts = tuple(self._context(user_id, row) for row in rows if row["id"] is not None)
        return Loaded(contexts=contexts, total=rows[0]["total"], lesser=rows[0]["lesser"])

    async def forget(self, user_id: UUID, context_id: int, *, execution_id: UUID) -> bool:
        await self._accounts.names(user_id)
        async with self._accounts.changing(user_id) as (connection, _):
            if await connection.fetchrow(_KNOWN, user_id, execution_id):
                return True
            size = await connection.fetchval(_DELETE, user_id, context_id)
            if size is not None:
                await connection.execute(_LESS, user_id, size)
                await _acted(connection, user_id, execution_id, context_id)
        return size is not None

    async def projects(self, user_id: UUID) -> list[Project]:
        rows = await self._database.fetch(_PROJECTS, user_id)
        return [
            Project(
                name=self._codec.open_text(row["project"], **_at(user_id, row["id"], "project")),
                contexts=row["uses"],
                last_activity=row["last_activity"],
            )
            for row in rows
        ]

    async def tags(self, user_id: UUID, project: str, *, limit: int, least_uses: int) -> list[Tag]:
        index = (await self._accounts.names(user_id)).index("project", project)
        rows = await self._database.fetch(_TAGS, user_id, index, least_uses, limit)
        return [Tag(name=self._tags(user_id, row)[row["place"] - 1], uses=row["uses"]) for row in rows]

    def _values(self, user_id: UUID, context_id: int, new: NewContext, names: Names) -> tuple[Any, ...]:
        return (
            names.index("project", new.project),
            self._codec.seal(new.project, **_at(user_id, context_id, "project")),
            new.importance,
            [names.index("tags", tag) for tag in new.tags],
            self._codec.seal_json(new.tags, **_at(user_id, context_id, "tags")),
            self._codec.seal(new.content, **_at(user_id, context_id, "content")),
        )

    def _context(self, user_id: UUID, row: asyncpg.Record) -> Context:
        return Context(
            context_id=row["id"],
            content=self._codec.open_text(row["content"], **_at(user_id, row["id"], "content")),
            importance=row["importance"],
            tags=self._tags(user_id, row),
            created_at=row["created_at"],
        )

    def _tags(self, user_id: UUID, row: asyncpg.Record) -> tuple[str, ...]:
        return tuple(self._codec.open_json(row["tags"], **_at(user_id, row["id"], "tags")))


def _at(user_id: UUID, context_id: int, column: str) -> dict[str, str]:
    return {"table": "contexts", "column": column, "row": f"{user_id}:{context_id}"}


def _admit(account: asyncpg.Record, size_bytes: int) -> None:
    if account["contexts"] >= MOST_CONTEXTS:
        raise ToolError(f"a memory holds at most {MOST_CONTEXTS} contexts; forget some with forget_context first")
    if account["size_bytes"] + size_bytes > MOST_BYTES:
        raise ToolError(
            f"a memory holds at most {MOST_BYTES} bytes, and {MOST_BYTES - account['size_bytes']} are free;"
            " save less, or forget some contexts with forget_context first"
        )


async def _acted(connection: Connection, user_id: UUID, execution_id: UUID, context_id: int) -> datetime:
    at: datetime = await connection.fetchval(_ACT, user_id, execution_id, context_id)
    await connection.execute(_FORGET_ACTS, user_id, _REMEMBERED_DAYS)
    return at
