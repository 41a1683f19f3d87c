"""What OAuth clients are granted, as rows: codes, and the sessions that come of them."""

import secrets
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg

from shared.crypto import Codec, same
from shared.errors import Invalid, Unauthorized
from shared.function import Call
from shared.ports.oauth import CODE_S, Asked, Client, Grant, Held
from shared.ports.sessions import Active
from shared.stores.postgres.database import Connection, Database
from shared.stores.postgres.outbox import record_act
from shared.stores.postgres.sessions import SESSION_DAYS, active_of, begin, hash_of, revoke, rotated
from shared.stores.tokens import LIFETIME_S

_PREFIX = "szg_"
_SOURCE = "/functions/issue_token"

_OFFER = """
WITH old AS (DELETE FROM oauth_codes WHERE user_id = $2 AND expires_at < now() - interval '1 day')
INSERT INTO oauth_codes (code_hash, user_id, client_hash, client_name, redirect_hash, challenge, scopes, resource,
                         issuer, refreshes, expires_at)
SELECT $1, id, $3, $4, $5, $6, $7, $8, $9, $10, clock_timestamp() + make_interval(secs => $11)
FROM users WHERE id = $2 AND is_active RETURNING user_id"""

_TAKE = """
UPDATE oauth_codes SET used_at = clock_timestamp()
WHERE code_hash = $1 AND used_at IS NULL AND expires_at > clock_timestamp() RETURNING *"""

_HOLD = """
WITH code AS (UPDATE oauth_codes SET session_id = $2 WHERE code_hash = $1)
INSERT INTO oauth_sessions (session_id, client_hash, client_name, scopes, resource, issuer)
VALUES ($2, $3, $4, $5, $6, $7)"""

_HELD = """
SELECT s.user_id, s.id, o.scopes, o.resource FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id
JOIN oauth_sessions o ON o.session_id = s.id WHERE t.token_hash = $1 AND o.client_hash = $2"""


class PostgresGrants:
    def __init__(self, *, database: Database, codec: Codec) -> None:
        self._database = database
        self._codec = codec

    async def offer(self, user_id: UUID, asked: Asked) -> str:
        code = _PREFIX + secrets.token_urlsafe(32)
        hashed, client = hash_of(code), asked.client
        values = (
            hash_of(client.client_id),
            self._codec.seal(_shown(client, asked.redirect_uri), **_place("oauth_codes", hashed.hex())),
            hash_of(asked.redirect_uri),
            asked.challenge,
            sorted(asked.scopes),
            asked.resource,
            asked.issuer,
            client.refreshes,
            float(CODE_S),
        )
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(_OFFER, hashed, user_id, *values)
            on = f"{_named(client)} resource={asked.resource} scopes={','.join(sorted(asked.scopes))}"
            await _record(connection, user_id, "oauth.decide_consent", on, row is not None)
        if row is None:
            raise Unauthorized("the account is disabled", reason="account_disabled")
        return code

    async def denied(self, client: Client) -> None:
        async with self._database.transaction() as connection:
            await _record(connection, None, "oauth.decide_consent", _named(client), False)

    async def redeem(
        self,
        code: str,
        *,
        client_id: str,
        redirect_uri: str,
        challenge: bytes,
        resource: str | None,
        refresh_token: str,
        call: Call,
    ) -> Grant:
        proof = (hash_of(client_id), hash_of(redirect_uri), challenge)
        hashed, grant = hash_of(code), None
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(_TAKE, hashed)
            if row is None:
                await _used_again(connection, hashed)
            elif _fits(row, proof) and resource in (None, row["resource"]):
                grant = await self._begun(connection, row, refresh_token, call)
            on = f"session:{grant.session.session_id}" if grant else "session:unknown"
            await _record(connection, row["user_id"] if row else None, "oauth.issue_token", on, grant is not None)
        if grant is None and row is not None and resource not in (None, row["resource"]):
            raise Invalid("the code is for another resource", error="invalid_target")
        if grant is None:
            raise Invalid("the code is not valid, or not for this client", error="invalid_grant")
        return grant

    async def rotate(self, refresh_token: str, successor: str, *, client_id: str, call: Call) -> Grant:
        async with self._database.transaction() as connection:
            holder, action = hash_of(client_id), "oauth.issue_token"
            session = await rotated(connection, refresh_token, successor, call=call, action=action, holder=holder)
        if not isinstance(session, Active):
            raise session
        row = await self._database.fetchrow("SELECT * FROM oauth_sessions WHERE session_id = $1", session.session_id)
        if row is None:
            raise Unauthorized("the session has ended", reason="session_ended")
        return _grant(row, session, successor)

    async def held(self, refresh_token: str, *, client_id: str) -> Held | None:
        row = await self._database.fetchrow(_HELD, hash_of(refresh_token), hash_of(client_id))
        if row is None:
            return None
        scopes = frozenset(row["scopes"])
        return Held(user_id=row["user_id"], session_id=row["id"], scopes=scopes, resource=row["resource"])

    async def _begun(
        self, connection: Connection, code: asyncpg.Record, refresh_token: str, call: Call
    ) -> Grant | None:
        life = timedelta(days=SESSION_DAYS) if code["refreshes"] else timedelta(seconds=LIFETIME_S)
        session_id = uuid4()
        row = await begin(connection, code["user_id"], session_id, refresh_token, call=call, life=life)
        if row is None:
            return None
        name = self._codec.open(code["client_name"], **_place("oauth_codes", code["code_hash"].hex()))
        sealed = self._codec.seal(name, **_place("oauth_sessions", str(session_id)))
        held = (code["client_hash"], sealed, code["scopes"], code["resource"], code["issuer"])
        await connection.execute(_HOLD, code["code_hash"], session_id, *held)
        return _grant(code, active_of(row), refresh_token if code["refreshes"] else None)


async def _used_again(connection: Connection, hashed: bytes) -> None:
    """Whoever comes second has it from somewhere, or came first: nobody can tell which."""
    row = await connection.fetchrow("SELECT user_id, session_id FROM oauth_codes WHERE code_hash = $1", hashed)
    if row is not None and row["session_id"] is not None:
        await revoke(connection, row["user_id"], row["session_id"], source=_SOURCE)


def _fits(code: asyncpg.Record, proof: tuple[bytes, bytes, bytes]) -> bool:
    columns = ("client_hash", "redirect_hash", "challenge")
    return all(same(code[column], shown) for column, shown in zip(columns, proof, strict=True))


def _grant(row: asyncpg.Record, session: Active, refresh_token: str | None) -> Grant:
    """Of a row with the scopes, the resource and the issuer."""
    return Grant(
        session=session,
        scopes=frozenset(row["scopes"]),
        resource=row["resource"],
        issuer=row["issuer"],
        refresh_token=refresh_token,
    )


def _shown(client: Client, redirect_uri: str) -> str:
    """To its owner, among other sessions; a name alone anybody can take."""
    return f"{client.name} ({client.host or redirect_uri.partition('//')[2].partition('/')[0]})"


def _named(client: Client) -> str:
    """In the audit trail: where it is described, or the beginning of its hash."""
    return f"client:{client.host or hash_of(client.client_id).hex()[:24]}"


def _place(table: str, row: str) -> dict[str, str]:
    return {"table": table, "column": "client_name", "row": row}


async def _record(connection: Connection, actor: UUID | None, action: str, on: str, done: bool) -> None:
    await record_act(connection, actor=actor, action=action, on=on, outcome="done" if done else "refused")
