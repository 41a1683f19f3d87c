"""What is searched in measurements of vectors, where they are those of real text."""

import numpy as np
from numpy.typing import NDArray

from shared.stores.embedders.minilm import MiniLm
from tests.bench._documentation import corpus
from tests.bench._embedded import CACHE, embedded
from tests.vectors.faiss_data import Clustered

_CENTRES = 100


async def of_text(passages: int, queries: int) -> Clustered:
    """Passages of a documentation as the default model has them, and questions about them."""
    # There are three kinds of questions, in equal shares.
    texts = corpus(passages, -(-queries // 3) * 3)
    model = await MiniLm.load(CACHE)
    try:
        held = await embedded(model, texts.passages)
        asked = await model.embed([question.text for question in texts.questions[:queries]], kind="query")
    finally:
        await model.close()
    # As far as a few of them tell: each belongs to the nearest.
    centres = held[:: max(1, passages // _CENTRES)]
    clusters: NDArray[np.int64] = (held @ centres.T).argmax(axis=1)
    return Clustered(held, clusters, asked)
