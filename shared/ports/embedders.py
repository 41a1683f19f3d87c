"""Embedders: texts to vectors. A model's id names its weights and its version, so that no two vectors are confused."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Kind = Literal["query", "passage"]


class Embedder(Protocol):
    model_id: str
    dimension: int

    async def embed(self, texts: Sequence[str], *, kind: Kind = "passage") -> "NDArray[np.float32]":
        """One row of length 1 for each text. Raises Unavailable where the model is elsewhere and cannot be reached."""
