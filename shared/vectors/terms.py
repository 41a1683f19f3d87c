"""Metadata as terms, for engines whose own comparisons take other values for equal than `filters.passes` does.

A point has one term for each of its keys and one for each of its values, so that equality, membership and existence
are each a look for a term: `1`, `"1"` and `true` are three, 1 and 1.0 are one. What it was created at counts as a key.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b

from shared.ports.vector_engine import Metadata, Scalar
from shared.vectors.filters import CREATED_AT, Range

# From here on a float no longer tells all whole numbers apart, and engines compare floats.
_WHOLE = 2**53


class Inexpressible(Exception):
    """An engine cannot decide it alone: every point has to be looked at."""


def terms_of(metadata: Metadata, created_at: float) -> list[str]:
    found: dict[str, None] = {}
    for key, values in _listed(metadata, created_at):
        found[key_term(key)] = None
        found.update(dict.fromkeys(term(key, value) for value in values))
    return list(found)


def numbers_of(metadata: Metadata, created_at: float) -> Mapping[str, Sequence[float]]:
    """What ranges are asked of, by `number_key`."""
    return {
        number_key(key): numbers
        for key, values in _listed(metadata, created_at)
        if (numbers := [float(value) for value in values if not isinstance(value, str | bool)])
    }


def term(key: str, value: Scalar) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return _hashed([key, value])


def key_term(key: str) -> str:
    return _hashed([key])


def number_key(key: str) -> str:
    """Begins with a letter, as paths into documents do."""
    return f"n{_hashed([key])}"


def bounds(range: Range) -> dict[str, float]:
    """Those that are set. Raises Inexpressible where floats could not tell what lies on either side."""
    found = {name: bound for name in ("gt", "gte", "lt", "lte") if (bound := getattr(range, name)) is not None}
    if not all(-_WHOLE < bound < _WHOLE for bound in found.values()):
        raise Inexpressible
    return {name: float(bound) for name, bound in found.items()}


def _listed(metadata: Metadata, created_at: float) -> Iterator[tuple[str, Sequence[Scalar]]]:
    for key, held in {**metadata, CREATED_AT: created_at}.items():
        values = held if isinstance(held, list | tuple) else (held,)
        if values:
            yield key, values


def _hashed(parts: list[Scalar]) -> str:
    """Of one length, and without anything that a path or a query could take for its own."""
    return blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()
