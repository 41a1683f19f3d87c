"""Kept answers in the record."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from shared.crypto import Codec
from shared.errors import Conflict, IdempotencyMismatch
from shared.ports.idempotency import Kept
from shared.stores.postgres.database import Database

# A request that has not ended by then died with its process; its key is free again.
_ABANDONED_S = 120


class _Held:
    def __init__(self, answer: tuple[int, bytes] | None) -> None:
        self.answer = answer
        self.kept: tuple[int, bytes] | None = None

    def keep(self, status: int, body: bytes) -> None:
        self.kept = (status, body)


class PostgresIdempotency:
    def __init__(self, *, database: Database, codec: Codec) -> None:
        self._database = database
        self._codec = codec

    @asynccontextmanager
    async def once(self, user_id: UUID, key: str, digest: bytes) -> AsyncIterator[Kept]:
        held = _Held(await self._begin(user_id, key, digest))
        try:
            yield held
        except BaseException:
            if held.answer is None:
                await self._forget(user_id, key)
            raise
        if held.answer is None and held.kept is not None:
            status, body = held.kept
            await self._database.execute(
                "UPDATE idempotency_keys SET status = $3, answer = $4 WHERE user_id = $1 AND key = $2",
                user_id,
                key,
                status,
                self._seal(user_id, key, body),
            )

    async def _begin(self, user_id: UUID, key: str, digest: bytes) -> tuple[int, bytes] | None:
        mine = await self._database.fetchval(
            "INSERT INTO idempotency_keys AS k (user_id, key, request_hash) VALUES ($1, $2, $3)"
            " ON CONFLICT (user_id, key) DO UPDATE SET created_at = now()"
            " WHERE k.status IS NULL AND k.request_hash = $3 AND k.created_at < now() - make_interval(secs => $4)"
            " RETURNING true",
            user_id,
            key,
            digest,
            float(_ABANDONED_S),
        )
        if mine:
            return None
        row = await self._database.fetchrow(
            "SELECT request_hash, status, answer FROM idempotency_keys WHERE user_id = $1 AND key = $2", user_id, key
        )
        if row is None:
            raise Conflict("the first request under this Idempotency-Key has just failed: send it again")
        if row["request_hash"] != digest:
            raise IdempotencyMismatch("this Idempotency-Key was used for another request")
        if row["status"] is None:
            raise Conflict("the first request under this Idempotency-Key is still running")
        return row["status"], self._codec.open(
            row["answer"], table="idempotency_keys", column="answer", row=f"{user_id}/{key}"
        )

    def _seal(self, user_id: UUID, key: str, body: bytes) -> bytes:
        return self._codec.seal(body, table="idempotency_keys", column="answer", row=f"{user_id}/{key}")

    async def _forget(self, user_id: UUID, key: str) -> None:
        await self._database.execute(
            "DELETE FROM idempotency_keys WHERE user_id = $1 AND key = $2 AND status IS NULL", user_id, key
        )
