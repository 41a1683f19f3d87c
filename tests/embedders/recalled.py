"""A memory around a model of its own, in the shape of a model."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from shared.ports.embedders import Kind
from shared.ports.vector_service import Model
from shared.stores.embedders.hashed import DIMENSION, Hashed
from shared.stores.embedders.tiers import Opened, Tier
from shared.stores.redis import Cache
from shared.vectors.recall import Near, Recall


@dataclass
class Counted:
    """`said`: the batches that it was asked for. Where `fails` is set, it is raised, once."""

    said: list[Sequence[str]] = field(default_factory=list)
    fails: Exception | None = None
    is_closed: bool = False
    model_id: str = ""
    dimension: int = DIMENSION
    _model: Hashed = field(default_factory=Hashed)

    async def embed(self, texts: Sequence[str], *, kind: Kind = "passage") -> NDArray[np.float32]:
        self.said.append(texts)
        if (failure := self.fails) is not None:
            self.fails = None
            raise failure
        return await self._model.embed(texts)

    async def close(self) -> None:
        self.is_closed = True
        await self._model.close()


def slow(model: Opened | None = None, *, model_id: str | None = None) -> Tier:
    """Of an id that no other test has in Redis."""

    async def opened() -> Opened:
        return model or Counted()

    named = Model(name="slow", id=model_id or f"slow-{uuid4().hex}", dimension=DIMENSION)
    return Tier(model=named, open=opened, is_slow=True)


class Recalled:
    def __init__(self, tier: Tier, *, cache: Cache, near_bytes: int = 1 << 20) -> None:
        self.model_id, self.dimension = tier.model.id, tier.model.dimension
        self._recall = Recall(tier, near=Near(near_bytes), cache=cache)

    async def embed(self, texts: Sequence[str], *, kind: Kind = "passage") -> NDArray[np.float32]:
        return await self._recall.embed(texts, kind)

    async def close(self) -> None:
        await self._recall.close()
