"""The vector service, which holds the engines and the embedders: what everybody else asks it for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from pydantic import BaseModel, ConfigDict

from shared.ports.embedders import Kind
from shared.ports.health import State
from shared.ports.vector_engine import Backend, Hit
from shared.ports.vectors import Kept

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from shared.vectors.filters import Filter


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One search. Either `text`, which the collection's model embeds, or `vector`, of length 1 where it is cosine.

    `backend`: this one first, whatever the router would choose. `min_seq`: an engine that is not as far is waited for,
    and then passed over.
    """

    collection: Kept
    top_k: int
    text: str | None = None
    vector: "NDArray[np.float32] | None" = field(default=None, repr=False)
    filter: "Filter | None" = None
    # Part of the text that is found, as it stands.
    contains: str | None = None
    backend: Backend | None = None
    min_seq: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """`degraded`: another engine answered than the one that was wanted, or should have; `lag_seq`: the collection's seq
    at the time of the query less what the engine had applied. `vector`: the query's, so that it can be used again."""

    hits: Sequence[Hit]
    backend: Backend
    exact: bool
    degraded: bool
    applied_seq: int
    lag_seq: int
    embedding_ms: float
    search_ms: float
    vector: "NDArray[np.float32]" = field(repr=False)


class Model(BaseModel):
    """An embedder: `name` as callers choose it (minilm-int8, static, hash, openai), `id` as collections pin it."""

    model_config = ConfigDict(frozen=True)
    name: str
    id: str
    dimension: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    model: Model
    vectors: "NDArray[np.float32]" = field(repr=False)


class EngineState(BaseModel):
    """An engine as its operators see it. `lag_seq`: changes that it has not applied, over all collections."""

    model_config = ConfigDict(frozen=True)
    backend: Backend
    status: State
    detail: str
    spaces: int
    lag_seq: int
    # Of the last sweep: how many collections differed from the record, and how many points were mended.
    drifted: int
    repaired: int
    swept_at: float | None


class VectorService(Protocol):
    """Every method raises Unavailable when the service cannot be reached, and bounds its own waiting."""

    async def search(self, query: Query) -> Found:
        """Raises Unavailable where none of the collection's engines can answer."""

    async def embed(self, texts: Sequence[str], *, model: str | None = None, kind: Kind = "passage") -> Embedded:
        """`model`: a name or an id; the default one where it is None. Raises NotFound for a model that is not here."""

    async def models(self) -> Sequence[Model]:
        """The default one first."""

    async def engines(self) -> Sequence[EngineState]: ...
