"""Knowledge graphs as rows: sealed texts, found again by keyed hashes."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg

from shared.crypto import KEY_BYTES, Codec
from shared.errors import NotFound, ToolError
from shared.ports.memory import Entity, Graph, Relation
from shared.stores.blind_text import BlindText
from shared.stores.postgres import memory_sql as sql
from shared.stores.postgres.database import Connection, Database
from shared.stores.postgres.memory_act import Act, Done, acting
from shared.stores.postgres.memory_rows import ObservationRow, Rows

Texts = Sequence[tuple[str, Sequence[str]]]

_NOBODY = UUID(int=0)


class PostgresMemory:
    def __init__(self, *, database: Database) -> None:
        self._database = database
        self._codec = Codec()

    async def create_entities(self, user_id: UUID, execution_id: UUID, entities: Sequence[Entity]) -> list[Entity]:
        rows = await self._writing(user_id)
        first: dict[str, int] = {}
        for number, entity in enumerate(entities):
            first.setdefault(entity.name, number)
        made = await asyncio.to_thread(lambda: {number: rows.entity(entities[number]) for number in first.values()})
        async with acting(self._database, user_id, execution_id) as act:
            if act.done is None:
                keys = [row.key for row, _ in made.values()]
                known = {row["name_key"] for row in await act.connection.fetch(sql.KNOWN_NAMES, user_id, keys)}
                new = [number for number, (row, _) in made.items() if row.key not in known]
                await act.insert(
                    entities=[made[number][0] for number in new],
                    observations=[row for number in new for row in made[number][1]],
                )
                act.done = [new]
            return [_without_doubles(entities[number]) for number in act.done[0]]

    async def create_relations(
        self, user_id: UUID, execution_id: UUID, relations: Sequence[Relation]
    ) -> list[Relation]:
        rows = await self._writing(user_id)
        first: dict[tuple[bytes, bytes, bytes], int] = {}
        for number, relation in enumerate(relations):
            first.setdefault(rows.ends(relation), number)
        async with acting(self._database, user_id, execution_id) as act:
            if act.done is None:
                found = await act.connection.fetch(sql.KNOWN_RELATIONS, user_id, *_columns(first, 3))
                known = {(row["from_key"], row["to_key"], row["type_key"]) for row in found}
                new = [number for ends, number in first.items() if ends not in known]
                await act.insert(relations=[rows.relation(relations[number]) for number in new])
                act.done = [new]
            return [relations[number] for number in act.done[0]]

    async def add_observations(self, user_id: UUID, execution_id: UUID, additions: Texts) -> list[list[str]]:
        rows = await self._writing(user_id)
        made = await asyncio.to_thread(_observation_rows, rows, additions)
        async with acting(self._database, user_id, execution_id) as act:
            if act.done is None:
                act.done = await _add(act, rows, additions, made)
            pairs = zip(additions, act.done, strict=True)
            return [[contents[number] for number in numbers] for (_, contents), numbers in pairs]

    async def delete_entities(self, user_id: UUID, execution_id: UUID, names: Sequence[str]) -> None:
        keys: list[object] = [(await self._writing(user_id)).keys(names)]
        async with acting(self._database, user_id, execution_id) as act:
            if act.done is None:
                await act.delete(
                    observations=(sql.DELETE_OBSERVATIONS_OF, keys),
                    relations=(sql.DELETE_RELATIONS_OF, keys),
                    entities=(sql.DELETE_ENTITIES, keys),
                )

    async def delete_observations(self, user_id: UUID, execution_id: UUID, deletions: Texts) -> None:
        rows = await self._writing(user_id)
        pairs = [(rows.key(name), rows.key(text)) for name, contents in deletions for text in contents]
        async with acting(self._database, user_id, execution_id) as act:
            if act.done is None:
                await act.delete(observations=(sql.DELETE_OBSERVATIONS, _columns(pairs, 2)))

    async def delete_relations(self, user_id: UUID, execution_id: UUID, relations: Sequence[Relation]) -> None:
        rows = await self._writing(user_id)
        ends = [rows.ends(relation) for relation in relations]
        async with acting(self._database, user_id, execution_id) as act:
            if act.done is None:
                await act.delete(relations=(sql.DELETE_RELATIONS, _columns(ends, 3)))

    async def graph(self, user_id: UUID) -> Graph:
        async with self._reading(user_id) as (connection, rows):
            entities = await connection.fetch(sql.ENTITIES, user_id)
            observations = await connection.fetch(sql.OBSERVATIONS, user_id)
            relations = await connection.fetch(sql.RELATIONS, user_id)
        return await asyncio.to_thread(rows.graph, entities, observations, relations)

    async def search(self, user_id: UUID, query: str) -> Graph:
        async with self._reading(user_id) as (connection, rows):
            grams = rows.blind.asked(query)
            if grams is not None:
                found = await connection.fetch(sql.CANDIDATES, user_id, grams)
                return _matching(await _part(connection, rows, user_id, found), query)
        return _matching(await self.graph(user_id), query)

    async def open(self, user_id: UUID, names: Sequence[str]) -> Graph:
        async with self._reading(user_id) as (connection, rows):
            found = await connection.fetch(sql.KNOWN_NAMES, user_id, rows.keys(names))
            return await _part(connection, rows, user_id, found)

    async def _writing(self, user_id: UUID) -> Rows:
        """Begins the graph where there is none. Raises NotFound where there is no such user."""
        sealed = await self._database.fetchval(sql.KEY, user_id)
        if sealed is None:
            await self._database.execute(sql.MAKE_GRAPH, user_id, self._made(user_id))
            sealed = await self._database.fetchval(sql.KEY, user_id)
        if sealed is None:
            raise NotFound(f"no user {str(user_id)!r}")
        return self._rows(user_id, sealed)

    def _made(self, user_id: UUID) -> bytes:
        key = secrets.token_bytes(KEY_BYTES)
        return self._codec.seal(key, table="memory_graphs", column="blind_key", row=user_id)

    def _rows(self, user_id: UUID, sealed: bytes) -> Rows:
        key = self._codec.open(sealed, table="memory_graphs", column="blind_key", row=user_id)
        return Rows(user_id, BlindText(key, "memory"), self._codec)

    @asynccontextmanager
    async def _reading(self, user_id: UUID) -> AsyncIterator[tuple[Connection, Rows]]:
        """All statements see the graph as it was at one moment."""
        async with (
            self._database.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            sealed = await connection.fetchval(sql.KEY, user_id)
            # Any key opens the rows of a graph that is not there.
            yield connection, self._rows(user_id, self._made(user_id) if sealed is None else sealed)


async def _add(act: Act, rows: Rows, additions: Texts, made: dict[tuple[str, str], ObservationRow]) -> Done:
    names = {rows.key(name): name for name, _ in additions}
    found = await act.connection.fetch(sql.KNOWN_NAMES, rows.user_id, list(names))
    ids: dict[str, UUID] = {names[row["name_key"]]: row["id"] for row in found}
    if unknown := [name for name, _ in additions if name not in ids]:
        raise ToolError(f"there is no entity {unknown[0]!r}; create it first, or look how it is spelled")
    keys = [row.key for row in made.values()]
    found = await act.connection.fetch(sql.KNOWN_OBSERVATIONS, rows.user_id, list(ids.values()), keys)
    known = {(row["entity_id"], row["content_key"]) for row in found}
    done: Done = []
    added = []
    for name, contents in additions:
        done.append([])
        for number, text in enumerate(contents):
            row = made[name, text]._replace(entity_id=ids[name])
            if (row.entity_id, row.key) not in known:
                known.add((row.entity_id, row.key))
                done[-1].append(number)
                added.append(row)
    await act.insert(observations=added)
    return done


async def _part(connection: Connection, rows: Rows, user_id: UUID, found: Sequence[asyncpg.Record]) -> Graph:
    """The entities whose ids were found, and the relations from or to one of them."""
    ids = [row["id"] for row in found]
    entities = await connection.fetch(sql.ENTITIES_IN, user_id, ids)
    observations = await connection.fetch(sql.OBSERVATIONS_IN, user_id, ids)
    keys = [row["name_key"] for row in entities]
    relations = await connection.fetch(sql.RELATIONS_IN, user_id, keys)
    return await asyncio.to_thread(rows.graph, entities, observations, relations)


def _observation_rows(rows: Rows, additions: Texts) -> dict[tuple[str, str], ObservationRow]:
    """By name and text; whose they are is not known yet."""
    pairs = {(name, text) for name, contents in additions for text in contents}
    return {(name, text): rows.observation(text, _NOBODY) for name, text in pairs}


def _without_doubles(entity: Entity) -> Entity:
    return entity.model_copy(update={"observations": list(dict.fromkeys(entity.observations))})


def _matching(graph: Graph, query: str) -> Graph:
    """What the index proposes shares the query's parts, though not always in one piece."""
    wanted = query.lower()
    entities = [
        entity
        for entity in graph.entities
        if any(wanted in text.lower() for text in (entity.name, entity.entity_type, *entity.observations))
    ]
    names = {entity.name for entity in entities}
    relations = [relation for relation in graph.relations if {relation.source, relation.target} & names]
    return Graph.model_construct(entities=entities, relations=relations)


def _columns(rows: Iterable[tuple[bytes, ...]], width: int) -> list[object]:
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]
