"""The knowledge graph: who made what with what.

The record says it in stars, each what one thing adds to the graph; an engine holds them as nodes and edges.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol, get_args
from uuid import UUID

from pydantic import BaseModel, JsonValue

Kind = Literal["Agent", "Chunk", "Conversation", "Document", "Task", "User", "Workflow"]
Relation = Literal["CREATED", "EXECUTES", "MENTIONS", "OWNS", "PARTICIPATES_IN", "PRODUCES", "SIMILAR_TO", "USED"]
# Neighbours in meaning, and what a text mentions, are no part of a document itself: they change when others come.
Subject = Literal["Conversation", "Document", "Mentions", "Similar", "Task", "User", "Workflow"]
Direction = Literal["in", "out", "both"]
Plain = str | int | float | bool

KINDS: tuple[Kind, ...] = get_args(Kind)
RELATIONS: tuple[Relation, ...] = get_args(Relation)
BUCKETS = 256
MOST_SIMILAR = 50
MOST_MENTIONS = 50


@dataclass(frozen=True, slots=True)
class Ref:
    kind: Kind
    id: str


@dataclass(frozen=True, slots=True)
class Node:
    kind: Kind
    id: str
    properties: Mapping[str, Plain] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Edge:
    """`score`, of SIMILAR_TO alone, is higher where they are more alike."""

    type: Relation
    source: Ref
    target: Ref
    score: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Star:
    """What one thing adds: its nodes, and edges that all begin or end at the first of these or, without one, at `id`.

    Of two under one version the later counts, of others the higher; one without nodes and edges takes all away.
    """

    user_id: UUID
    subject: Subject
    id: str
    version: int
    nodes: tuple[Node, ...] = ()
    edges: tuple[Edge, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A star in the record. `number` stays the star's, `seq` is of its newest change."""

    number: int
    seq: int
    star: Star


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """All of a user's has to go."""

    user_id: UUID
    seq: int


Change = Kept | Erased


@dataclass(frozen=True, slots=True)
class Sum:
    """Over elements, nodes or edges: how many they are, and the sum of their marks."""

    count: int
    marks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One whole copy of the graph in an engine, up to a seq of the record."""

    number: int
    applied_seq: int


class GraphNode(BaseModel):
    """Nothing more may be known of it than that others name it."""

    id: str
    kind: Kind
    properties: dict[str, str | int | float | bool]


class GraphEdge(BaseModel):
    type: Relation
    source: str
    target: str
    score: float | None = None


class Subgraph(BaseModel):
    """`truncated`: there is more than was asked for, or than is ever answered."""

    nodes: list[GraphNode]
    edges: list[GraphEdge]
    truncated: bool = False


class Rows(BaseModel):
    """What a query found. `truncated`: it would have found more."""

    columns: list[str]
    rows: list[list[JsonValue]]
    truncated: bool


class Graph(Protocol):
    """The live generation, of which a caller sees one user's part. All raise Unavailable."""

    async def nodes(self, user_id: UUID, ids: Collection[str]) -> Sequence[GraphNode]:
        """Those that are there, by id."""

    async def edges(
        self,
        user_id: UUID,
        ids: Collection[str],
        *,
        direction: Direction,
        relations: Collection[Relation],
        limit: int,
        kinds: Collection[Kind] = KINDS,
    ) -> Sequence[GraphEdge]:
        """Of each of the nodes, `limit` at most in either direction; which of more is not said. Each edge once.

        Only those whose other end is of the kinds, before the limit counts.
        """

    async def whole(self, user_id: UUID, *, most_nodes: int, most_edges: int) -> Subgraph:
        """All of the user's, or so much of it; each edge between nodes that are in it."""


class Analysis(Protocol):
    async def query(
        self, user_id: UUID, cypher: str, parameters: Mapping[str, JsonValue], *, limit: int, timeout_s: float
    ) -> Rows:
        """All users' graph, read alone. The audit trail names who has asked.

        Raises Invalid for what does not only read, or is no Cypher; Timeout; Conflict where the graph is not in Neo4j.
        """


class Facts(Protocol):
    """The record's side: stars in order of their changes."""

    def active(self) -> AbstractAsyncContextManager[None]:
        """Entered by one follower at a time. Raises Unavailable when that cannot be made sure of any more."""

    async def put(self, stars: Sequence[Star]) -> None:
        """Older versions, equal stars, and those of users who are gone change nothing."""

    async def since(self, seq: int, *, limit: int) -> Sequence[Change]:
        """What has changed after it, by seq."""

    async def newest(self) -> int: ...

    async def sums(self, *, upto_seq: int) -> Mapping[int, Sum]:
        """By bucket, over stars whose newest change is not later."""

    async def sums_of(self, buckets: Collection[int]) -> Mapping[int, tuple[int, Sum]]:
        """By number, each star of the buckets: its seq, and its sum."""

    async def stars(self, numbers: Collection[int]) -> Sequence[Kept]: ...


class Gathering(Protocol):
    """From what has happened to stars."""

    async def gather(self) -> bool:
        """Takes the next events. False when there were none."""

    async def gather_all(self) -> None:
        """Everything that the record still holds, whatever was told of it."""

    async def trim(self) -> None:
        """Forgets outputs so old that what is made of them now is not traced to them."""


class GraphEngine(Protocol):
    """What holds stars as a graph. All raise Unavailable, and NotFound for a generation that is not there."""

    @property
    def backend(self) -> str: ...

    async def prepare(self) -> None:
        """Brings constraints and indexes up to date."""

    async def live(self) -> Generation | None: ...

    async def begin(self) -> Generation:
        """An empty one beside the live one; whatever else there was and is not live goes."""

    async def apply(self, generation: int, changes: Sequence[Change], *, after_seq: int, upto_seq: int) -> None:
        """All or nothing. Raises Conflict where the generation is not at `after_seq`."""

    async def swap(self, generation: int) -> None:
        """It answers from now on; others are dropped."""

    async def sums(self, generation: int) -> Mapping[int, Sum]: ...

    async def sums_of(self, generation: int, buckets: Collection[int]) -> Mapping[int, Sum]:
        """By star's number."""

    async def forget(self, generation: int, numbers: Collection[int]) -> None:
        """Takes away what these have added."""
