"""What such a server answers: nothing in it is believed before it has been looked at."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray


class OtherDimension(Exception):
    """Whole vectors, of another model or another setting of it."""


def vectors_in(body: bytes, count: int, dimension: int) -> NDArray[np.float32]:
    """In the order of the texts, each of length 1. Raises OtherDimension, and ValueError for anything else amiss."""
    try:
        listed = json.loads(body)["data"]
        found = {int(each["index"]): each["embedding"] for each in listed}
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        raise ValueError("its answer is no list of embeddings") from exc
    if len(listed) != count or found.keys() != set(range(count)):
        raise ValueError(f"it answers {len(listed)} embeddings for {count} texts")
    return _of_length_1([found[number] for number in range(count)], dimension)


def _of_length_1(rows: Sequence[Any], dimension: int) -> NDArray[np.float32]:
    try:
        vectors = np.array(rows, np.float64)
    except (ValueError, TypeError, OverflowError) as exc:
        raise ValueError("its embeddings are no numbers, or not all as many") from exc
    if vectors.ndim != 2:
        raise ValueError("its embeddings are no lists of numbers")
    if vectors.shape[1] != dimension:
        raise OtherDimension(f"gives vectors of {vectors.shape[1]} dimensions and not of {dimension}")
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    if not np.isfinite(largest).all() or not largest.all():
        raise ValueError("its embeddings are not all finite, or one of them has no direction")
    # Before it is squared: what is very large or very small would be lost.
    vectors /= largest
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def retry_after_s(said: str) -> float | None:
    """Seconds, or a time (RFC 9110, 10.2.3); None where it says neither."""
    if said.strip().isdecimal():
        return float(said.strip()[:9])
    try:
        at = parsedate_to_datetime(said)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
