"""Texts to vectors: all models that are here, each opened when it is first asked for, and what they said before."""

import asyncio
import re
from collections.abc import Sequence
from typing import Self

from shared.config import Settings
from shared.errors import Invalid, NotFound
from shared.ports.egress import Egress
from shared.ports.embedders import Kind
from shared.ports.vector_service import Embedded, Model
from shared.stores.redis import Cache

# What all models together remember in this process: some 40,000 vectors of 384 dimensions.
NEAR_BYTES = 64 << 20
_SURROGATE = re.compile("[\ud800-\udfff]")


class Embedding:
    def __init__(self, *, settings: Settings, cache: Cache, egress: Egress) -> None:
        from shared.stores.embedders.tiers import tiers
        from shared.vectors.recall import Near, Recall

        near = Near(NEAR_BYTES)
        self._recalls = [Recall(tier, near=near, cache=cache) for tier in tiers(settings, egress)]
        names = {recall.model.id: recall for recall in self._recalls}
        self._named = names | {recall.model.name: recall for recall in self._recalls}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(recall.close() for recall in self._recalls))

    async def embed(self, texts: Sequence[str], *, model: str | None = None, kind: Kind = "passage") -> Embedded:
        """One row of length 1 for each text, in their order.

        Raises NotFound for a model that is not here, Invalid for a text that no model can take, Unavailable.
        """
        recall = self._recalls[0] if model is None else self._named.get(model)
        if recall is None:
            here = ", ".join(each.name for each in self.models())
            raise NotFound(f"no embedder {model!r}; here are {here}")
        for number, text in enumerate(texts):
            # Neither tokenizers nor JSON know them.
            if not text.isascii() and _SURROGATE.search(text):
                raise Invalid(f"the text of number {number} has half of a surrogate pair")
        return Embedded(model=recall.model, vectors=await recall.embed(texts, kind))

    def models(self) -> Sequence[Model]:
        """The default one first."""
        return [recall.model for recall in self._recalls]
