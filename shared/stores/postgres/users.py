"""Users as rows; each act with its audit line and events in one transaction."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg

from events.base import Event
from events.users import UserDisabled, UserErased, UserRegistered
from shared.config import Settings
from shared.crypto import Codec, blind_index, index_key
from shared.errors import Conflict, Invalid
from shared.paging import cursor_of, cursor_values
from shared.ports.users import Credentials, Preferences, Registration, Role, User, UserPage, normal_email
from shared.stores.postgres.database import Connection, Database
from shared.stores.postgres.outbox import record_act, record_event
from shared.stores.postgres.sessions import revoke

_INSERT = """
INSERT INTO users (id, email, email_index, username, password_hash, roles, tier)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING *"""

_BY_ADDRESS = "SELECT id, is_active, password_hash FROM users WHERE email_index = $1"
_BY_NAME = "SELECT id, is_active, password_hash FROM users WHERE lower(username) = $1"
_BY_ID = "SELECT id, is_active, password_hash FROM users WHERE id = $1"

_SET_HASH = """
UPDATE users SET password_hash = $3, updated_at = now() WHERE id = $1 AND password_hash = $2 RETURNING 1"""

_UPDATE_PROFILE = """
UPDATE users SET full_name = coalesce($2, full_name), preferences = preferences || $3, updated_at = now()
WHERE id = $1 RETURNING *"""

# Locks the administrators in one order, so that two who demote each other do so one after the other.
_ADMINS = "SELECT id FROM users WHERE is_active AND 'admin' = ANY (roles) ORDER BY id FOR UPDATE"

_PAGE = """
WITH matching AS NOT MATERIALIZED (
    SELECT * FROM users WHERE ($1::boolean IS NULL OR is_active = $1)
    AND ($2::text IS NULL OR position(lower($2) IN lower(username)) > 0 OR email_index = $3))
SELECT * FROM (SELECT count(*) AS total FROM matching) counted LEFT JOIN LATERAL (
    SELECT * FROM matching WHERE $4::timestamptz IS NULL OR (created_at, id) > ($4, $5::uuid)
    ORDER BY created_at, id LIMIT $6 OFFSET $7) page ON true
ORDER BY created_at, id"""

_SET_ACCESS = "UPDATE users SET roles = $2, is_active = $3, updated_at = now() WHERE id = $1 RETURNING *"
_END_ALL = "UPDATE sessions SET revoked_at = now() WHERE user_id = $1 AND revoked_at IS NULL"
_HAS_ADMIN = "SELECT EXISTS (SELECT 1 FROM users WHERE 'admin' = ANY (roles))"
_REHASH = "UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2"

# What nobody can parse may still name its user; `escape` leaves ASCII as it is.
_DELETE_UNREADABLE = """
DELETE FROM dead_letters WHERE reason = 'unreadable' AND position($1::uuid::text IN lower(
    CASE event->>'encoding' WHEN 'base64' THEN encode(decode(event->>'body', 'base64'), 'escape')
    ELSE event->>'body' END)) > 0"""

# Sessions and refresh tokens go with the user's row.
_OWNED = (
    "DELETE FROM agent_executions WHERE user_id = $1",
    "DELETE FROM callbacks WHERE user_id = $1",
    "DELETE FROM task_questions WHERE user_id = $1",
    "DELETE FROM task_progress WHERE user_id = $1",
    "DELETE FROM ledger WHERE user_id = $1",
    "DELETE FROM idempotency_keys WHERE user_id = $1",
    "DELETE FROM dead_letters WHERE $1 IN ((event->>'userid')::uuid, (event->>'user_id')::uuid)",
    _DELETE_UNREADABLE,
    "DELETE FROM events WHERE user_id = $1",
    "INSERT INTO object_removals (key) VALUES ('users/' || $1::uuid || '/') ON CONFLICT DO NOTHING",
    "DELETE FROM users WHERE id = $1",
)
_ERASING_S = 60


class PostgresUsers:
    def __init__(self, *, database: Database, settings: Settings) -> None:
        self._database = database
        self._tier = settings.default_tier
        self._key = index_key(settings.keys_dir)
        self._codec = Codec()

    async def register(self, new: Registration) -> User:
        user_id, index = uuid4(), self._index(new.email)
        email = self._codec.seal(new.email, table="users", column="email", row=user_id)
        values = (user_id, email, index, new.username, new.password_hash, list(new.roles), self._tier)
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(_INSERT, *values)
            if row is None:
                await _record(connection, None, "auth.register", _account(index), done=False)
            else:
                await _record(connection, user_id, "auth.register", f"user:{user_id}")
                await _publish(connection, UserRegistered(user_id=user_id), user_id, by="register")
        if row is None:
            raise Conflict("the email or the username is taken")
        return self._user(row)

    async def get(self, user_id: UUID) -> User | None:
        row = await self._database.fetchrow("SELECT * FROM users WHERE id = $1", user_id)
        return self._user(row) if row else None

    async def credentials(self, login: str) -> Credentials | None:
        if "@" in login:
            return await self._credentials(_BY_ADDRESS, self._index_of_address(login))
        # PostgreSQL takes no NUL, and no username holds anything beyond ASCII.
        name = login.lower() if login.isascii() and login.isprintable() else ""
        return await self._credentials(_BY_NAME, name)

    async def credentials_of(self, user_id: UUID) -> Credentials | None:
        return await self._credentials(_BY_ID, user_id)

    async def refused(self, action: str, *, user_id: UUID | None, login: str = "") -> None:
        on = f"user:{user_id}" if user_id else _account(self._index(login.lower()))
        async with self._database.transaction() as connection:
            await _record(connection, user_id, action, on, done=False)

    async def update_profile(
        self, user_id: UUID, *, full_name: str | None, preferences: Preferences | None
    ) -> User | None:
        changed = preferences.model_dump(exclude_none=True) if preferences else {}
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(_UPDATE_PROFILE, user_id, full_name, changed)
            await _record(connection, user_id, "users.update_me", f"user:{user_id}", done=row is not None)
        return self._user(row) if row else None

    async def rehash(self, user_id: UUID, *, old: str, new: str) -> None:
        await self._database.execute(_REHASH, user_id, old, new)

    async def change_password(self, user_id: UUID, *, old: str, new: str, keep_session: UUID) -> int | None:
        ended: list[UUID] = []
        async with self._database.transaction() as connection:
            changed = await connection.fetchval(_SET_HASH, user_id, old, new)
            if changed:
                source = "/functions/change_password"
                ended = await revoke(connection, user_id, keep_session, others=True, source=source)
            await _record(connection, user_id, "users.change_password", f"user:{user_id}", done=bool(changed))
        return len(ended) if changed else None

    async def set_access(
        self, user_id: UUID, *, actor: UUID, roles: tuple[Role, ...] | None, is_active: bool | None
    ) -> User | None:
        row, orphans = None, False
        async with self._database.transaction() as connection:
            admins = await connection.fetch(_ADMINS)
            was = await connection.fetchrow("SELECT * FROM users WHERE id = $1 FOR UPDATE", user_id)
            wanted, active, on = roles, is_active, f"user:{user_id}"
            if was is not None:
                wanted = tuple(sorted(set(was["roles"] if roles is None else roles)))
                active = was["is_active"] if is_active is None else is_active
                orphans = _only(admins, user_id) and not (active and "admin" in wanted)
                on = f"user:{user_id} roles={','.join(wanted)} is_active={active}"
            if was is not None and not orphans:
                row = await connection.fetchrow(_SET_ACCESS, user_id, wanted, active)
                if was["is_active"] and not active:
                    await connection.execute(_END_ALL, user_id)
                    await _publish(connection, UserDisabled(user_id=user_id), user_id, by="update_user")
            await _record(connection, actor, "users.update_user", on, done=row is not None)
        if orphans:
            raise Conflict("nobody would be left to administer the users")
        return self._user(row) if row else None

    async def page(
        self, *, limit: int, cursor: str | None, page: int | None, search: str | None, is_active: bool | None
    ) -> UserPage:
        after = _after(cursor) if cursor else (None, None)
        index = self._index_of_address(search) if search and "@" in search else None
        skipped = (page - 1) * limit if page else 0
        rows = await self._database.fetch(_PAGE, is_active, search, index, *after, limit + 1, skipped)
        users = tuple(self._user(row) for row in rows[:limit] if row["id"] is not None)
        following = cursor_of(users[-1].created_at, users[-1].id) if len(rows) > limit else None
        return UserPage(users=users, total=rows[0]["total"], limit=limit, page=page, next_cursor=following)

    async def erase(self, user_id: UUID) -> bool:
        async with self._database.transaction() as connection:
            orphans = _only(await connection.fetch(_ADMINS), user_id)
            exists = await connection.fetchval("SELECT 1 FROM users WHERE id = $1 FOR UPDATE", user_id)
            erasing = exists is not None and not orphans
            if erasing:
                for statement in _OWNED:
                    await connection.execute(statement, user_id, timeout=_ERASING_S)
                await _publish(connection, UserErased(user_id=user_id), user_id, by="delete_me")
            await _record(connection, user_id, "users.delete_me", f"user:{user_id}", done=erasing)
        if orphans:
            raise Conflict("nobody would be left to administer the users")
        return erasing

    async def has_admin(self) -> bool:
        return bool(await self._database.fetchval(_HAS_ADMIN))

    async def _credentials(self, query: str, value: object) -> Credentials | None:
        row = await self._database.fetchrow(query, value)
        if row is None:
            return None
        return Credentials(user_id=row["id"], is_active=row["is_active"], password_hash=row["password_hash"])

    def _index(self, text: str) -> bytes:
        return blind_index(self._key, text)

    def _index_of_address(self, text: str) -> bytes:
        """What is no address has an index too, which no row has."""
        try:
            return self._index(normal_email(text))
        except ValueError:
            return b""

    def _user(self, row: asyncpg.Record) -> User:
        email = self._codec.open_text(row["email"], table="users", column="email", row=row["id"])
        return User.model_validate(
            {**row, "email": email, "preferences": Preferences.model_validate(row["preferences"])}
        )


async def _record(connection: Connection, actor: UUID | None, action: str, on: str, *, done: bool = True) -> None:
    await record_act(connection, actor=actor, action=action, on=on, outcome="done" if done else "refused")


async def _publish(connection: Connection, event: Event, user_id: UUID, *, by: str) -> None:
    source = f"/functions/{by}"
    await record_event(connection, event, source=source, subject=str(user_id), user_id=user_id)


def _account(index: bytes) -> str:
    return f"account:{index[:12].hex()}"


def _only(admins: list[asyncpg.Record], user_id: UUID) -> bool:
    return [row["id"] for row in admins] == [user_id]


def _after(cursor: str) -> tuple[datetime, UUID]:
    at, user_id = cursor_values(cursor)
    try:
        return at.astimezone(UTC), user_id
    except OverflowError as exc:
        raise Invalid("this cursor is none of ours", field="cursor") from exc
