"""Answers to searches, kept for whoever asks the same before the collection changes."""

from collections.abc import Awaitable, Callable
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict

from shared.ports.vector_engine import Backend, Scalar
from shared.ports.vectors import Kept


class SearchResult(BaseModel):
    model_config = ConfigDict(frozen=True)
    id: str
    score: float
    text: str | None
    metadata: dict[str, Scalar | list[Scalar]]


class SearchAnswer(BaseModel):
    """Times are in ms. `backend`: what has compared the vectors, `postgres` where no engine could.

    `exact`: with every vector that passes. `hybrid`: with the words of the texts as well. `degraded`: it is not what
    was asked for, or not by whom. `lag_seq`: so many of the collection's changes were unknown to the engine.
    """

    model_config = ConfigDict(frozen=True)
    collection: str
    results: list[SearchResult]
    total_results: int
    query_embedding_time: float
    search_time: float
    backend: Backend | Literal["postgres"]
    exact: bool
    hybrid: bool
    degraded: bool
    lag_seq: int
    cached: bool = False


class VectorAnswers(Protocol):
    async def once(
        self, collection: Kept, request: str, search: Callable[[], Awaitable[SearchAnswer]]
    ) -> tuple[SearchAnswer, bool]:
        """The answer, and whether it is one from before; searches of this process that ask the same run once.

        An answer that is degraded, or of less than all of the collection, is not kept. Raises Busy where so many are
        under way that one more would wait too long.
        """
