"""Cypher of people who may see everybody's graph: read, within bounds."""

import math
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import neo4j
from neo4j.exceptions import ClientError, Neo4jError
from neo4j.graph import Node, Path, Relationship
from pydantic import JsonValue

from shared.errors import Invalid, TimedOut
from shared.graph.cypher import check_reads
from shared.ports.graph import Rows
from shared.stores.neo4j.link import Neo4jLink, translated
from shared.stores.postgres.database import Database
from shared.stores.postgres.outbox import Outcome, record_act

_MOST_CHARACTERS = 4 << 20
_DEPTH = 16
_INT64 = range(-(1 << 63), 1 << 63)
_OVER_TIME = ("Neo.ClientError.Transaction.TransactionTimedOut", "Neo.TransientError.Transaction.Terminated")


class Neo4jAnalysis:
    def __init__(self, *, link: Neo4jLink, database: Database) -> None:
        self._link = link
        self._database = database

    async def query(
        self, user_id: UUID, cypher: str, parameters: Mapping[str, JsonValue], *, limit: int, timeout_s: float
    ) -> Rows:
        try:
            check_reads(cypher)
        except Invalid:
            await self._record(user_id, cypher, refused=True)
            raise
        await self._record(user_id, cypher)
        with translated():
            try:
                return await self._rows(cypher, parameters, limit, timeout_s)
            except ClientError as exc:
                if exc.code in _OVER_TIME or "TransactionTimedOut" in (exc.code or ""):
                    raise TimedOut(f"the query took longer than {timeout_s:g} s") from exc
                raise Invalid(f"Neo4j refuses the query: {_first_line(exc)}", field="query") from exc
            except Neo4jError as exc:
                if exc.code in _OVER_TIME:
                    raise TimedOut(f"the query took longer than {timeout_s:g} s") from exc
                if "MemoryPool" in (exc.code or ""):
                    raise Invalid("the query needs more memory than there is for one", field="query") from exc
                raise

    async def _rows(self, cypher: str, parameters: Mapping[str, JsonValue], limit: int, timeout_s: float) -> Rows:
        async with self._link.session(access=neo4j.READ_ACCESS) as session:
            transaction = await session.begin_transaction(timeout=timeout_s)
            async with transaction:
                result = await transaction.run(cypher, dict(parameters))
                rows: list[list[JsonValue]] = []
                left = _Budget()
                truncated = False
                async for record in result:
                    if len(rows) == limit or left.characters < 0:
                        truncated = True
                        break
                    rows.append([left.plain(value) for value in record.values()])
                # Whatever it would still find is not waited for.
                await transaction.rollback()
                return Rows(columns=list(result.keys()), rows=rows, truncated=truncated)

    async def _record(self, user_id: UUID, cypher: str, *, refused: bool = False) -> None:
        async with self._database.transaction() as connection:
            outcome: Outcome = "refused" if refused else "done"
            await record_act(connection, actor=user_id, action="graph.analyse", on=cypher, outcome=outcome)


class _Budget:
    """Turns values into JSON until so many characters are spent."""

    def __init__(self) -> None:
        self.characters = _MOST_CHARACTERS

    def plain(self, value: Any, depth: int = 0) -> JsonValue:
        self.characters -= len(value) if isinstance(value, str | bytes) else 8
        if depth > _DEPTH or self.characters < 0:
            return None
        match value:
            case None | bool() | str():
                return value
            case int():
                return value if value in _INT64 else str(value)
            case float():
                return value if math.isfinite(value) else None
            case Node():
                return {"labels": [*sorted(value.labels)], "properties": self._mapping(dict(value.items()), depth)}
            case Relationship():
                return {"type": value.type, "properties": self._mapping(dict(value.items()), depth)}
            case Path():
                elements = [*value.nodes, *value.relationships]
                return [self.plain(element, depth + 1) for element in elements]
            case list() | tuple() if not hasattr(value, "srid"):
                return [self.plain(item, depth + 1) for item in value]
            case dict():
                return self._mapping(value, depth)
            case bytes() | bytearray():
                return bytes(value).hex()
        return value.iso_format() if hasattr(value, "iso_format") else str(value)

    def _mapping(self, found: dict[str, Any], depth: int) -> dict[str, JsonValue]:
        return {name: self.plain(item, depth + 1) for name, item in found.items()}


def _first_line(error: Neo4jError) -> str:
    return (error.message or "").partition("\n")[0][:300]
