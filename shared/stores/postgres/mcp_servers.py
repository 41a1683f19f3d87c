"""MCP servers outside as rows; each act with its audit line and events in one transaction."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from events.base import Event
from events.mcp_servers import McpServerAdded, McpServerApproved, McpServerChanged, McpServerRemoved
from shared import strict_json
from shared.crypto import Codec
from shared.errors import Conflict, NotFound
from shared.paging import cursor_of_name, name_before
from shared.ports.mcp_servers import (
    Contact,
    Listing,
    McpServer,
    McpServerList,
    NewMcpServer,
    Offer,
    OutsideTool,
    ToolState,
)
from shared.stores.postgres.database import Connection, Database
from shared.stores.postgres.outbox import record_act, record_event

MOST_SERVERS = 100
# Longer than one is asked for what it offers; whoever dies meanwhile is made up for then.
_HELD_S = 60.0
_EVERY_S, _LONGEST_S = 60.0, 1800.0
_ERROR_CHARACTERS = 500

_STATE = """
CASE WHEN NOT t.offered THEN 'withdrawn' WHEN t.approved IS NULL THEN 'waiting'
     WHEN t.changed_at IS NOT NULL THEN 'changed' ELSE 'approved' END"""
_TOOLS = f"SELECT t.*, {_STATE} AS state FROM mcp_server_tools t WHERE t.server = ANY ($1) ORDER BY t.server, t.name"
_OFFERS = f"""
SELECT t.server, t.name, t.approved FROM mcp_server_tools t WHERE {_STATE} = 'approved'
ORDER BY t.server COLLATE "C", t.name COLLATE "C\""""
_CONTACT = """
SELECT s.name, s.url, s.headers, c.headers AS own FROM mcp_servers s
LEFT JOIN mcp_credentials c ON c.server = s.name AND c.user_id = $2 WHERE s.name = $1"""
_TAKE_DUE = """
WITH picked AS MATERIALIZED (
    SELECT name FROM mcp_servers WHERE check_at <= now() ORDER BY check_at LIMIT $1 FOR UPDATE SKIP LOCKED)
UPDATE mcp_servers s SET check_at = now() + make_interval(secs => $2) FROM picked p WHERE s.name = p.name
RETURNING s.name, s.url, s.headers"""

# What has once been found changed stays so: a server that says one thing and then another gets no second chance.
_UPSERT = """
INSERT INTO mcp_server_tools AS t (server, name, definition, digest)
SELECT $1, * FROM unnest($2::text[], $3::jsonb[], $4::bytea[])
ON CONFLICT (server, name) DO UPDATE SET definition = excluded.definition, digest = excluded.digest, offered = true,
    changed_at = CASE WHEN t.approved_digest = excluded.digest THEN t.changed_at ELSE coalesce(t.changed_at, now()) END
RETURNING t.name, t.approved IS NOT NULL AND t.changed_at = now() AS changed"""
_WITHDRAW = """
DELETE FROM mcp_server_tools WHERE server = $1 AND approved IS NULL AND NOT name = ANY ($2)"""
_WITHDRAW_APPROVED = """
UPDATE mcp_server_tools SET offered = false WHERE server = $1 AND offered AND NOT name = ANY ($2)"""
_SEEN = """
UPDATE mcp_servers SET protocol = $2, instructions = $3, problems = $4, checked_at = now(), failures = 0,
    last_error = NULL, check_at = now() + make_interval(secs => $5) WHERE name = $1 RETURNING true"""
_FAILED = """
UPDATE mcp_servers SET failures = failures + 1, last_error = $2, checked_at = now(),
    check_at = now() + make_interval(secs => least($3 * power(2, least(failures, 10)), $4)) WHERE name = $1"""
_APPROVE = """
UPDATE mcp_server_tools SET approved = definition, approved_digest = digest, approved_by = $3, approved_at = now(),
    changed_at = NULL WHERE server = $1 AND name = ANY ($2)"""
_SET_CREDENTIALS = """
INSERT INTO mcp_credentials (server, user_id, headers) SELECT name, $2, $3 FROM mcp_servers WHERE name = $1
ON CONFLICT (server, user_id) DO UPDATE SET headers = excluded.headers, created_at = now() RETURNING true"""


class PostgresMcpServers:
    def __init__(self, *, database: Database, codec: Codec) -> None:
        self._database = database
        self._codec = codec

    async def add(self, new: NewMcpServer, *, actor: UUID) -> McpServer:
        url = self._codec.seal(new.url, table="mcp_servers", column="url", row=new.name)
        headers = self._codec.seal_json(dict(new.headers), table="mcp_servers", column="headers", row=new.name)
        async with self._database.transaction() as connection:
            # One after the other, so that two at once cannot both be the last that fits.
            await connection.execute("LOCK TABLE mcp_servers IN SHARE ROW EXCLUSIVE MODE")
            fits = await connection.fetchval("SELECT count(*) < $1 FROM mcp_servers", MOST_SERVERS)
            row = fits and await connection.fetchrow(
                "INSERT INTO mcp_servers (name, url, headers, added_by, check_at) VALUES ($1, $2, $3, $4,"
                " now() + make_interval(secs => $5)) ON CONFLICT DO NOTHING RETURNING *",
                *(new.name, url, headers, actor, _HELD_S),
            )
            if row:
                await _publish(connection, McpServerAdded(name=new.name), new.name)
            await _record(connection, actor, "add_mcp_server", new.name, done=bool(row))
        if not fits:
            raise Conflict(f"there are {MOST_SERVERS} MCP servers already: remove one first", limit=MOST_SERVERS)
        if not row:
            raise Conflict(f"an MCP server is named {new.name!r} already")
        return self._server(row, [])

    async def get(self, name: str) -> McpServer | None:
        row = await self._database.fetchrow("SELECT * FROM mcp_servers WHERE name = $1", name)
        return self._server(row, await self._database.fetch(_TOOLS, [name])) if row else None

    async def list(self, *, limit: int, cursor: str | None) -> McpServerList:
        after = name_before(cursor)
        query = 'SELECT * FROM mcp_servers WHERE name COLLATE "C" > $1 ORDER BY name COLLATE "C" LIMIT $2'
        rows = await self._database.fetch(query, after, limit + 1)
        tools = await self._database.fetch(_TOOLS, [row["name"] for row in rows[:limit]])
        servers = [self._server(row, [t for t in tools if t["server"] == row["name"]]) for row in rows[:limit]]
        more = cursor_of_name(servers[-1].name) if len(rows) > limit else None
        return McpServerList(servers=servers, next_cursor=more)

    async def remove(self, name: str, *, actor: UUID) -> bool:
        async with self._database.transaction() as connection:
            removed = bool(await connection.fetchval("DELETE FROM mcp_servers WHERE name = $1 RETURNING true", name))
            if removed:
                await _publish(connection, McpServerRemoved(name=name), name)
            await _record(connection, actor, "delete_mcp_server", name, done=removed)
        return removed

    async def approve(self, name: str, digests: Mapping[str, str], *, actor: UUID) -> McpServer | None:
        unknown: list[str] = []
        other: list[str] = []
        async with self._database.transaction() as connection:
            query = "SELECT true FROM mcp_servers WHERE name = $1 FOR UPDATE"
            exists = bool(await connection.fetchval(query, name))
            query = "SELECT name, digest FROM mcp_server_tools WHERE server = $1 AND offered FOR UPDATE"
            there = {row["name"]: row["digest"].hex() for row in await connection.fetch(query, name)}
            unknown = sorted(digests.keys() - there.keys())
            other = sorted(tool for tool, digest in digests.items() if there.get(tool, digest) != digest)
            if done := exists and not unknown and not other:
                await connection.execute(_APPROVE, name, list(digests), actor)
                await _publish(connection, McpServerApproved(name=name, tools=sorted(digests)), name)
            await _record(connection, actor, "approve_mcp_server", f"{name} {' '.join(sorted(digests))}", done=done)
        if not exists:
            return None
        if unknown:
            raise NotFound(f"the MCP server {name!r} offers no tool {unknown[0]!r}")
        if other:
            raise Conflict(f"{name!r} describes {other[0]!r} otherwise by now: look at it again", tools=other)
        return await self.get(name)

    async def refused(self, action: str, name: str, *, actor: UUID) -> None:
        async with self._database.transaction() as connection:
            await _record(connection, actor, action, name, done=False)

    async def set_credentials(self, name: str, user_id: UUID, headers: Mapping[str, str]) -> bool:
        place = f"{name}:{user_id}"
        sealed = self._codec.seal_json(dict(headers), table="mcp_credentials", column="headers", row=place)
        async with self._database.transaction() as connection:
            done = bool(await connection.fetchval(_SET_CREDENTIALS, name, user_id, sealed))
            await _record(connection, user_id, "set_mcp_credentials", name, done=done)
        return done

    async def delete_credentials(self, name: str, user_id: UUID) -> bool:
        query = "DELETE FROM mcp_credentials WHERE server = $1 AND user_id = $2 RETURNING true"
        async with self._database.transaction() as connection:
            done = bool(await connection.fetchval(query, name, user_id))
            await _record(connection, user_id, "delete_mcp_credentials", name, done=done)
        return done

    async def contact(self, name: str, *, user_id: UUID | None = None) -> Contact | None:
        row = await self._database.fetchrow(_CONTACT, name, user_id)
        if row is None:
            return None
        contact = self._contact(row)
        if row["own"] is None:
            return contact
        place = f"{name}:{user_id}"
        own = self._codec.open_json(row["own"], table="mcp_credentials", column="headers", row=place)
        taken = {header.lower() for header in own}
        kept = {header: value for header, value in contact.headers.items() if header.lower() not in taken}
        return Contact(name=name, url=contact.url, headers={**kept, **own})

    async def take_due(self, limit: int) -> Sequence[Contact]:
        return [self._contact(row) for row in await self._database.fetch(_TAKE_DUE, limit, _HELD_S)]

    async def seen(self, name: str, listing: Listing) -> Sequence[str]:
        names = [tool.name for tool in listing.tools]
        said = [dict(tool.definition) for tool in listing.tools]
        digests = [tool.digest for tool in listing.tools]
        async with self._database.transaction() as connection:
            values = (name, listing.protocol, listing.instructions, list(listing.problems), _EVERY_S)
            if not await connection.fetchval(_SEEN, *values):
                return []
            rows = await connection.fetch(_UPSERT, name, names, said, digests)
            await connection.execute(_WITHDRAW, name, names)
            await connection.execute(_WITHDRAW_APPROVED, name, names)
            changed = sorted(row["name"] for row in rows if row["changed"])
            if changed:
                await _publish(connection, McpServerChanged(name=name, tools=changed), name)
                await _record(connection, None, "refresh_mcp_servers", f"{name} {' '.join(changed)}", done=False)
        return changed

    async def failed(self, name: str, error: str) -> None:
        said = strict_json.plain(error)[:_ERROR_CHARACTERS]
        await self._database.execute(_FAILED, name, said, _EVERY_S, _LONGEST_S)

    async def offers(self) -> Sequence[Offer]:
        rows = await self._database.fetch(_OFFERS)
        return [Offer(server=row["server"], name=row["name"], definition=row["approved"]) for row in rows]

    async def offer(self, server: str, tool: str) -> Offer | None:
        query = f"SELECT t.approved FROM mcp_server_tools t WHERE server = $1 AND name = $2 AND {_STATE} = 'approved'"
        approved = await self._database.fetchval(query, server, tool)
        return None if approved is None else Offer(server=server, name=tool, definition=approved)

    async def names(self) -> frozenset[str]:
        return frozenset(row["name"] for row in await self._database.fetch("SELECT name FROM mcp_servers"))

    async def state(self, server: str, tool: str) -> ToolState | None:
        query = f"SELECT {_STATE} FROM mcp_server_tools t WHERE t.server = $1 AND t.name = $2"
        state: ToolState | None = await self._database.fetchval(query, server, tool)
        return state

    def _contact(self, row: Any) -> Contact:
        name = row["name"]
        url = self._codec.open_text(row["url"], table="mcp_servers", column="url", row=name)
        return Contact(name=name, url=url, headers=self._headers(row))

    def _headers(self, row: Any) -> dict[str, str]:
        found: dict[str, str] = self._codec.open_json(
            row["headers"], table="mcp_servers", column="headers", row=row["name"]
        )
        return found

    def _server(self, row: Any, tools: Sequence[Any]) -> McpServer:
        status = "unseen" if row["checked_at"] is None else "failing" if row["failures"] else "ok"
        contact = self._contact(row)
        listed = [OutsideTool.model_validate({**tool, "digest": tool["digest"].hex()}) for tool in tools]
        held = {"url": contact.url, "headers": sorted(contact.headers), "status": status, "tools": listed}
        return McpServer.model_validate({**row, **held})


async def _record(connection: Connection, actor: UUID | None, action: str, on: str, *, done: bool = True) -> None:
    name, what = f"mcp_servers.{action}", f"mcp_server:{on}"
    await record_act(connection, actor=actor, action=name, on=what, outcome="done" if done else "refused")


async def _publish(connection: Connection, event: Event, name: str) -> None:
    # No user's: it stays when the one who caused it is erased.
    await record_event(connection, event, source="/functions/mcp_servers", subject=name, user_id=None)
