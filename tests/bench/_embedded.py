"""Passages as the default model has them, kept from one measurement to the next by their content."""

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np

from shared.stores.embedders.minilm import GRAPH_SHA256, MODEL_ID, MiniLm
from tests.bench._rankings import Matrix

CACHE = Path.home() / ".cache" / "sutazai"
_PIECE = 1000


async def embedded(model: MiniLm, texts: Sequence[str]) -> Matrix:
    """A thousand at a time: who interrupts it goes on from there."""
    folder = CACHE / "embedded"
    folder.mkdir(parents=True, exist_ok=True)
    pieces = []
    for start in range(0, len(texts), _PIECE):
        some = texts[start : start + _PIECE]
        digest = hashlib.sha256("\0".join([GRAPH_SHA256, *some]).encode()).hexdigest()
        place = folder / f"{MODEL_ID}-{digest[:24]}.npy"
        if not place.exists():
            vectors = await model.embed(some)
            await asyncio.to_thread(np.save, place, vectors)
            print(f"embedded {start + len(vectors)} of {len(texts)}", flush=True)
        pieces.append(cast(Matrix, np.load(place, allow_pickle=False)))
    return np.concatenate(pieces)
