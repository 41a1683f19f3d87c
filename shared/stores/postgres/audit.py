"""The audit trail: lines are written in their act's transaction and sealed in batches, each chained to the last."""

import hashlib
from collections.abc import Sequence
from typing import Any

from shared.stores.postgres.database import Database
from shared.stores.sealing import SealingKey
from shared.strict_json import dump

_BATCH = 5000
_LINES = "id, at, actor, action, object, outcome"


def _digest(before: bytes, lines: Sequence[Any]) -> bytes:
    """SHA-256 over the digest before and each line as compact JSON, in order of id."""
    state = hashlib.sha256(before)
    for line in lines:
        state.update(
            dump([line["id"], line["at"].isoformat(), line["actor"], line["action"], line["object"], line["outcome"]])
        )
        state.update(b"\n")
    return state.digest()


class AuditTrail:
    def __init__(self, *, database: Database, key: SealingKey) -> None:
        self._database = database
        self._key = key

    async def seal(self) -> int:
        """Lines of transactions that nothing older can still precede. Only the active keeper may call it."""
        async with self._database.transaction() as connection:
            lines = await connection.fetch(
                f"SELECT {_LINES} FROM audit_log WHERE seal IS NULL"
                f" AND xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY id LIMIT {_BATCH}"
            )
            if not lines:
                return 0
            last = await connection.fetchrow("SELECT id, digest FROM audit_seals ORDER BY id DESC LIMIT 1")
            number, before = (last["id"] + 1, last["digest"]) if last else (1, b"")
            digest = _digest(before, lines)
            await connection.execute(
                "UPDATE audit_log SET seal = $1 WHERE id = ANY($2)", number, [line["id"] for line in lines]
            )
            await connection.execute(
                "INSERT INTO audit_seals (id, lines, digest, signature) VALUES ($1, $2, $3, $4)",
                number,
                len(lines),
                digest,
                self._key.sign(digest),
            )
        return len(lines)

    async def verify(self) -> int | None:
        """Recomputes the chain. Returns the first seal whose lines, count, digest or signature do not hold."""
        before, expected = b"", 1
        for seal in await self._database.fetch("SELECT id, lines, digest, signature FROM audit_seals ORDER BY id"):
            lines = await self._database.fetch(
                f"SELECT {_LINES} FROM audit_log WHERE seal = $1 ORDER BY id", seal["id"]
            )
            digest = _digest(before, lines)
            holds = seal["id"] == expected and len(lines) == seal["lines"] and digest == seal["digest"]
            if not holds or not self._key.verify(digest, seal["signature"]):
                return expected
            before, expected = digest, expected + 1
        sealed_beyond = await self._database.fetchval("SELECT min(seal) FROM audit_log WHERE seal >= $1", expected)
        return None if sealed_beyond is None else expected
