"""Filters as Chroma's `where` over what `record.metadata_of` keeps.

A number stands under a key of its own for each place in its list, since Chroma compares no lists; each such key is
also a term, for Chroma has no question for what is missing. It has no negation either: that is carried inward.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from shared.ports.vector_engine import Metadata
from shared.vectors.filters import And, Eq, Exists, Filter, In, Not, Or, Range
from shared.vectors.terms import Inexpressible, bounds, key_term, number_key, numbers_of, term, terms_of

TERMS = "terms"
# Lists of more numbers than that are compared by looking at every record.
WIDEST = 16
# What one question may hold: Chroma's parser and SQLite's both end at a depth.
_DEEPEST = 40
_OPERATORS = {"gt": "$gt", "gte": "$gte", "lt": "$lt", "lte": "$lte"}
_OPPOSITES = {"gt": "$lte", "gte": "$lt", "lt": "$gte", "lte": "$gt"}

# True and False: what everything and nothing passes, which Chroma has no words for.
Where = dict[str, Any] | bool


def compared(metadata: Metadata, created_at: float) -> dict[str, Any]:
    """What `where` finds a record by."""
    placed = {
        f"{key}_{place}": number
        for key, numbers in numbers_of(metadata, created_at).items()
        for place, number in enumerate(numbers[:WIDEST])
    }
    return {TERMS: [*terms_of(metadata, created_at), *placed], **placed}


def width(metadata: Metadata) -> int:
    """Of its longest list of numbers."""
    return max(map(len, numbers_of(metadata, 0.0).values()))


def where(filter: Filter | None, *, widest: int) -> Where:
    """`widest`: of all records. Raises Inexpressible."""
    if filter is None:
        return True
    compiled = _one(filter, holds=True, widest=widest)
    if _depth(compiled) > _DEEPEST:
        raise Inexpressible
    return compiled


def _one(filter: Filter, *, holds: bool, widest: int) -> Where:
    match filter:
        case Eq(key, value):
            return _has(term(key, value), holds)
        case In(key, values):
            return _joined([_has(found, holds) for found in {term(key, value): None for value in values}], any=holds)
        case Exists(key):
            return _has(key_term(key), holds)
        case Range():
            return _range(filter, holds, widest)
        case And(of):
            return _joined([_one(part, holds=holds, widest=widest) for part in of], any=not holds)
        case Or(of):
            return _joined([_one(part, holds=holds, widest=widest) for part in of], any=holds)
        case Not(of):
            return _one(of, holds=not holds, widest=widest)


def _has(found: str, holds: bool) -> Where:
    return {TERMS: {"$contains" if holds else "$not_contains": found}}


def _range(range_: Range, holds: bool, widest: int) -> Where:
    if widest > WIDEST:
        raise Inexpressible
    places = [f"{number_key(range_.key)}_{place}" for place in range(widest)]
    return _joined([_placed(place, bounds(range_), holds) for place in places], any=holds)


def _placed(place: str, bounds: Mapping[str, float], holds: bool) -> Where:
    operators = _OPERATORS if holds else _OPPOSITES
    compared: list[Where] = [{place: {operators[name]: bound}} for name, bound in bounds.items()]
    return _joined([_has(place, holds), *compared], any=not holds)


def _joined(parts: Sequence[Where], *, any: bool) -> Where:
    """Of nothing: everything passes `all`, and nothing `any`."""
    if any in parts:
        return any
    asked = [part for part in parts if not isinstance(part, bool)]
    return _halved("$or" if any else "$and", asked) if asked else not any


def _halved(joint: str, parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """In twos, so that many are no deeper than they have to be."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return {joint: [_halved(joint, parts[:middle]), _halved(joint, parts[middle:])]}


def _depth(asked: Where) -> int:
    if isinstance(asked, bool):
        return 0
    joined = [part for held in asked.values() if isinstance(held, list) for part in held]
    return 1 + max(map(_depth, joined), default=0)
