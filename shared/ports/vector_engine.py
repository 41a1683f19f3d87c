"""What every vector engine can do: it holds a projection of PostgreSQL's vectors, and may be lost at any time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable
from uuid import UUID

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from shared.vectors.filters import Filter

    Matrix = NDArray[np.float32]

Metric = Literal["cosine", "dot", "l2"]
Backend = Literal["faiss", "qdrant", "chroma"]

BUCKETS = 256

# What metadata holds: a filter compares scalars, and matches a list where one of its items matches.
Scalar = str | int | float | bool
Metadata = Mapping[str, Scalar | Sequence[Scalar]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """One collection in one engine. A rebuild fills the next epoch beside the old one, and then takes its place."""

    collection_id: UUID
    epoch: int
    dimension: int
    metric: Metric

    @property
    def name(self) -> str:
        """Under which an engine keeps it: nobody else's collection can share it."""
        return f"sz_{self.collection_id.hex}_{self.epoch}"

    @classmethod
    def named(cls, name: str, *, dimension: int = 1, metric: Metric = "l2") -> "Space":
        """To drop one by: what else it was is not in its name. Raises ValueError for a name that is none of ours."""
        prefix, collection, epoch = name.split("_")
        if prefix != "sz":
            raise ValueError(f"no space of ours: {name!r}")
        return cls(collection_id=UUID(collection), epoch=int(epoch), dimension=dimension, metric=metric)

    @classmethod
    def is_named(cls, name: str) -> bool:
        """Whether one of ours has this name: an engine may hold others beside them."""
        try:
            return cls.named(name).name == name
        except ValueError:
            return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A vector as it is now, or, where `vector` is None, that it has been deleted.

    `number` is the same for an id for as long as its collection lives, also when it is deleted and comes back.
    `created_at` in seconds since 1970. Vectors of a cosine space have length 1.
    """

    number: int
    vector_id: str
    seq: int
    vector: "NDArray[np.float32] | None" = field(repr=False)
    metadata: Metadata = field(default_factory=dict, repr=False)
    text: str | None = field(default=None, repr=False)
    created_at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Searches of one space that are run together: each row of `queries` is one."""

    queries: "Matrix"
    top_k: int
    filter: "Filter | None" = None
    # Part of the text, for engines that look into it.
    contains: str | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """`score`: higher is better; cosine and dot as they are, l2 as 1 / (1 + distance)."""

    number: int
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Hits:
    """For each query, best first; equal scores by number. `exact`: every vector that passes was compared."""

    of: Sequence[Sequence[Hit]]
    applied_seq: int
    exact: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineHealth:
    status: Literal["ok", "degraded", "down"]
    detail: str = ""


class VectorEngine(Protocol):
    """Every method raises Unavailable when the engine cannot be reached, and bounds its own waiting."""

    backend: Backend

    async def ensure(self, space: Space) -> None:
        """Makes room for it; nothing happens where it is there."""

    async def drop(self, space: Space) -> None:
        """Nothing happens where it is not there."""

    async def spaces(self) -> Sequence[str]:
        """The names of all that it holds: those of no collection are dropped."""

    async def apply(self, space: Space, points: Sequence[Point], *, upto_seq: int) -> None:
        """Idempotent; a point older than what is held changes nothing. Afterwards `applied_seq` is at least `upto_seq`.

        Durable in the engine's own sense when it returns. Raises NotFound where the space was never made or is lost.
        """

    async def applied_seq(self, space: Space) -> int:
        """As the engine itself remembers it. Raises NotFound."""

    async def search(self, space: Space, wanted: Wanted) -> Hits:
        """Raises NotFound."""

    async def scroll(self, space: Space, *, after: int = -1, limit: int = 1000) -> Sequence[Point]:
        """In order of number, without texts: what it holds, for whoever compares."""

    async def count(self, space: Space) -> int: ...

    async def digest(self, space: Space) -> Sequence[int]:
        """For each of the 256 buckets of `number` modulo 256 the XOR of `fingerprint` over its points."""

    async def health(self) -> EngineHealth: ...


@runtime_checkable
class SnapshottingEngine(VectorEngine, Protocol):
    """An engine that holds its projection in memory, and comes back from what it has written down."""

    async def snapshot(self, space: Space) -> int:
        """Writes it to the object store and returns the seq that it holds everything up to."""

    async def restore(self, space: Space) -> int:
        """From the newest whole snapshot; 0 where there is none. Damaged ones are passed over, and said so."""


@runtime_checkable
class ForgettingEngine(VectorEngine, Protocol):
    """An engine that need not remember for ever what was deleted."""

    async def forget(self, space: Space, *, upto_seq: int) -> None:
        """Deletions up to `upto_seq`: no older point of what they deleted is ever applied again. Raises NotFound."""


class Faiss(SnapshottingEngine, Protocol): ...


class Qdrant(VectorEngine, Protocol): ...


class Chroma(VectorEngine, Protocol): ...


def fingerprint(number: int, seq: int) -> int:
    """64 bits of one point's version (splitmix64): what differs anywhere differs in its bucket."""
    mixed = (number * 0x9E3779B97F4A7C15 + seq) & 0xFFFFFFFFFFFFFFFF
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = ((mixed ^ (mixed >> shift)) * factor) & 0xFFFFFFFFFFFFFFFF
    return mixed ^ (mixed >> 31)
