"""all-MiniLM-L6-v2 in 32 bits, in numpy, as the papers have it: what the graph is held to."""

from math import erf

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

_erf = np.vectorize(erf, otypes=[np.float32])


def embed(weights: dict[str, Array], ids: list[int]) -> Array:
    """One text's tokens to its vector."""
    hidden = (
        weights["embeddings.word_embeddings.weight"][ids]
        + weights["embeddings.position_embeddings.weight"][: len(ids)]
        + weights["embeddings.token_type_embeddings.weight"][0]
    )
    hidden = _normed(weights, "embeddings.LayerNorm", hidden)
    for number in range(6):
        hidden = _layer(weights, f"encoder.layer.{number}", hidden)
    mean = hidden.mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean), np.float32)


def _layer(weights: dict[str, Array], prefix: str, hidden: Array) -> Array:
    attention = f"{prefix}.attention"
    query, key, value = (
        _dense(weights, f"{attention}.self.{name}", hidden).reshape(-1, 12, 32).transpose(1, 0, 2)
        for name in ("query", "key", "value")
    )
    scores = query @ key.transpose(0, 2, 1) / np.sqrt(np.float32(32))
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    seen = (shares @ value).transpose(1, 0, 2).reshape(-1, 384)
    seen = _dense(weights, f"{attention}.output.dense", seen)
    hidden = _normed(weights, f"{attention}.output.LayerNorm", seen + hidden)
    inner = _dense(weights, f"{prefix}.intermediate.dense", hidden)
    inner = inner / 2 * (1 + _erf(inner / np.sqrt(np.float32(2))))
    return _normed(weights, f"{prefix}.output.LayerNorm", _dense(weights, f"{prefix}.output.dense", inner) + hidden)


def _dense(weights: dict[str, Array], name: str, value: Array) -> Array:
    return value @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def _normed(weights: dict[str, Array], name: str, value: Array) -> Array:
    centred = value - value.mean(axis=-1, keepdims=True)
    spread = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + np.float32(1e-12))
    return np.asarray(centred / spread * weights[f"{name}.weight"] + weights[f"{name}.bias"], np.float32)
