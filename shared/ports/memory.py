"""Memory: the knowledge graph that a user's agents keep, of entities, observations about them, and relations."""

from collections.abc import Sequence
from typing import Annotated, Protocol
from uuid import UUID

from pydantic import Field

from shared.payload import Payload

NAME_CHARACTERS = 500
OBSERVATION_CHARACTERS = 20_000
MOST_ENTITIES = 10_000
MOST_OBSERVATIONS = 100_000
MOST_RELATIONS = 50_000
# As JSON: any graph that may be stored fits into one task's result.
GRAPH_BYTES = 8 << 20

Name = Annotated[str, Field(max_length=NAME_CHARACTERS)]
Observation = Annotated[str, Field(max_length=OBSERVATION_CHARACTERS)]


class Entity(Payload):
    """A node; names are equal where all their characters are, so case counts."""

    name: Name
    entity_type: Name = Field(alias="entityType")
    observations: list[Observation] = Field(max_length=1000, description="what is known about it, a fact each")


class Relation(Payload):
    """A directed edge between names, of which an entity need not exist."""

    source: Name = Field(alias="from", description="the name of the entity where it starts")
    target: Name = Field(alias="to", description="the name of the entity where it ends")
    relation_type: Name = Field(alias="relationType", description="in active voice: works_at")


class Graph(Payload):
    """Everything in the order in which it was created."""

    entities: list[Entity]
    relations: list[Relation]


class Memory(Protocol):
    """A user's own graph. What writes is done once for each execution: a repeated one gets the first one's answer.

    Whatever would grow a graph beyond the bounds above raises ToolError and changes nothing.
    """

    async def create_entities(self, user_id: UUID, execution_id: UUID, entities: Sequence[Entity]) -> list[Entity]:
        """Returns those whose names were new; the others are left as they are."""

    async def create_relations(
        self, user_id: UUID, execution_id: UUID, relations: Sequence[Relation]
    ) -> list[Relation]:
        """Returns those that were new."""

    async def add_observations(
        self, user_id: UUID, execution_id: UUID, additions: Sequence[tuple[str, Sequence[str]]]
    ) -> list[list[str]]:
        """Returns, for each name with its observations, those that were new.

        Raises ToolError for an unknown name; then nothing is added.
        """

    async def delete_entities(self, user_id: UUID, execution_id: UUID, names: Sequence[str]) -> None:
        """With their observations, and all relations from or to these names."""

    async def delete_observations(
        self, user_id: UUID, execution_id: UUID, deletions: Sequence[tuple[str, Sequence[str]]]
    ) -> None: ...

    async def delete_relations(self, user_id: UUID, execution_id: UUID, relations: Sequence[Relation]) -> None: ...

    async def graph(self, user_id: UUID) -> Graph: ...

    async def search(self, user_id: UUID, query: str) -> Graph:
        """Entities that hold `query` in their name, type or an observation, case aside, and all their relations."""

    async def open(self, user_id: UUID, names: Sequence[str]) -> Graph:
        """The entities of these names, and all relations from or to one of them."""
