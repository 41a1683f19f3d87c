"""Entities, observations and relations as rows of one user, and back."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import asyncpg

from shared import strict_json
from shared.crypto import Codec
from shared.ports.memory import Entity, Graph, Relation
from shared.stores.blind_text import BlindText

Ends = tuple[bytes, bytes, bytes]


class EntityRow(NamedTuple):
    user_id: UUID
    id: UUID
    key: bytes
    body: bytes
    size_bytes: int
    grams: list[int]


class ObservationRow(NamedTuple):
    user_id: UUID
    id: UUID
    entity_id: UUID
    key: bytes
    body: bytes
    size_bytes: int
    grams: list[int]


class RelationRow(NamedTuple):
    user_id: UUID
    id: UUID
    from_key: bytes
    to_key: bytes
    type_key: bytes
    body: bytes
    size_bytes: int


class Rows:
    def __init__(self, user_id: UUID, blind: BlindText, codec: Codec) -> None:
        self.user_id = user_id
        self._codec = codec
        self.blind = blind

    def key(self, text: str) -> bytes:
        return self.blind.exact(text)

    def keys(self, texts: Iterable[str]) -> list[bytes]:
        return [self.blind.exact(text) for text in texts]

    def ends(self, relation: Relation) -> Ends:
        return self.key(relation.source), self.key(relation.target), self.key(relation.relation_type)

    def entity(self, entity: Entity) -> tuple[EntityRow, list[ObservationRow]]:
        entity_id, texts = uuid4(), (entity.name, entity.entity_type)
        body, size = self._sealed("memory_entities", entity_id, list(texts))
        row = EntityRow(self.user_id, entity_id, self.key(entity.name), body, size, self.blind.grams(*texts))
        return row, [self.observation(text, entity_id) for text in dict.fromkeys(entity.observations)]

    def observation(self, text: str, entity_id: UUID) -> ObservationRow:
        row_id = uuid4()
        body, size = self._sealed("memory_observations", row_id, text)
        return ObservationRow(self.user_id, row_id, entity_id, self.key(text), body, size, self.blind.grams(text))

    def relation(self, relation: Relation) -> RelationRow:
        row_id = uuid4()
        texts: list[strict_json.Json] = [relation.source, relation.target, relation.relation_type]
        body, size = self._sealed("memory_relations", row_id, texts)
        return RelationRow(self.user_id, row_id, *self.ends(relation), body, size)

    def graph(
        self,
        entities: Sequence[asyncpg.Record],
        observations: Sequence[asyncpg.Record],
        relations: Sequence[asyncpg.Record],
    ) -> Graph:
        known: dict[UUID, list[str]] = {row["id"]: [] for row in entities}
        for row in observations:
            known[row["entity_id"]].append(self._opened("memory_observations", row))
        nodes = []
        for row in entities:
            name, kind = self._opened("memory_entities", row)
            # What is stored was checked when it came.
            nodes.append(Entity.model_construct(name=name, entity_type=kind, observations=known[row["id"]]))
        edges = []
        for row in relations:
            source, target, kind = self._opened("memory_relations", row)
            edges.append(Relation.model_construct(source=source, target=target, relation_type=kind))
        return Graph.model_construct(entities=nodes, relations=edges)

    def _sealed(self, table: str, row: UUID, value: strict_json.Json) -> tuple[bytes, int]:
        written = strict_json.dump(value)
        return self._codec.seal(written, table=table, column="body", row=row), len(written)

    def _opened(self, table: str, row: asyncpg.Record) -> Any:
        return json.loads(self._codec.open(row["body"], table=table, column="body", row=row["id"]))
