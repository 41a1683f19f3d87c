"""Users whom an outside issuer knows, as rows; the live ones remembered for half a second."""

import time
from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID, uuid4

import asyncpg

from shared.config import Settings
from shared.crypto import Codec, blind_index, index_key
from shared.errors import Conflict, NotFound
from shared.ports.oauth import Identity
from shared.stores.postgres.database import Connection, Database
from shared.stores.postgres.outbox import record_act

FRESH_S = 0.5
_REMEMBERED = 10_000

_LINK = """
INSERT INTO oauth_identities (id, issuer, subject_index, subject, user_id) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (issuer, subject_index) DO NOTHING RETURNING *"""
_LIST = "SELECT * FROM oauth_identities WHERE issuer = $1 ORDER BY created_at DESC, id LIMIT 10000"
_CHECK = """
SELECT i.id, i.user_id, u.roles, u.tier FROM oauth_identities i JOIN users u ON u.id = i.user_id
WHERE i.issuer = $1 AND i.subject_index = $2 AND u.is_active"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An enabled user whom the issuer knows, with the roles and the tier of now."""

    identity_id: UUID
    user_id: UUID
    roles: frozenset[str]
    tier: str


class PostgresIdentities:
    def __init__(self, *, database: Database, codec: Codec, settings: Settings) -> None:
        self._database = database
        self._codec = codec
        self._issuer = settings.oauth_issuer
        self._key = index_key(settings.keys_dir)
        self._near: OrderedDict[str, tuple[Known | None, float]] = OrderedDict()

    async def check(self, subject: str) -> Known | None:
        """At most half a second old."""
        near = self._near.get(subject)
        if near is not None and near[1] > time.monotonic():
            return near[0]
        asked = time.monotonic()
        row = await self._database.fetchrow(_CHECK, self._issuer, blind_index(self._key, subject))
        known = None
        if row is not None:
            roles = frozenset(row["roles"])
            known = Known(identity_id=row["id"], user_id=row["user_id"], roles=roles, tier=row["tier"])
        self._near[subject] = (known, asked + FRESH_S)
        self._near.move_to_end(subject)
        if len(self._near) > _REMEMBERED:
            self._near.popitem(last=False)
        return known

    async def link(self, actor: UUID, *, subject: str, user_id: UUID) -> Identity:
        if self._issuer is None:
            raise NotFound("no outside issuer is set")
        identity_id, row = uuid4(), None
        sealed = self._codec.seal(subject, table="oauth_identities", column="subject", row=identity_id)
        values = (identity_id, self._issuer, blind_index(self._key, subject), sealed, user_id)
        async with self._database.transaction() as connection:
            exists = await connection.fetchval("SELECT 1 FROM users WHERE id = $1 FOR KEY SHARE", user_id)
            if exists:
                row = await connection.fetchrow(_LINK, *values)
            on = f"user:{user_id} identity:{identity_id}"
            await _record(connection, actor, "oauth.link_identity", on, row is not None)
        if not exists:
            raise NotFound(f"no user {str(user_id)!r}")
        if row is None:
            raise Conflict("the subject is linked to a user already")
        self._near.pop(subject, None)
        return self._identity(row)

    async def of_issuer(self) -> tuple[Identity, ...]:
        return tuple(map(self._identity, await self._database.fetch(_LIST, self._issuer)))

    async def unlink(self, actor: UUID, identity_id: UUID) -> bool:
        async with self._database.transaction() as connection:
            statement = "DELETE FROM oauth_identities WHERE id = $1 AND issuer = $2 RETURNING id"
            done = await connection.fetchval(statement, identity_id, self._issuer) is not None
            await _record(connection, actor, "oauth.unlink_identity", f"identity:{identity_id}", done)
        self._near.clear()
        return done

    def _identity(self, row: asyncpg.Record) -> Identity:
        subject = self._codec.open_text(row["subject"], table="oauth_identities", column="subject", row=row["id"])
        return Identity.model_validate({**row, "subject": subject})


async def _record(connection: Connection, actor: UUID, action: str, on: str, done: bool) -> None:
    await record_act(connection, actor=actor, action=action, on=on, outcome="done" if done else "refused")
