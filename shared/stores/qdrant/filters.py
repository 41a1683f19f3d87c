"""Filters as Qdrant's conditions over the payloads that `points` keeps."""

from typing import Any

from shared.vectors.filters import And, Eq, Exists, Filter, In, Not, Or, Range
from shared.vectors.terms import bounds, key_term, number_key, term

TERMS = "terms"
NUMBERS = "numbers"
# A term like any other, and that of no key or value.
GONE = "gone"


class Conditions:
    """`models`: qdrant_client's or qdrant_edge's, which differ in the name of a range and of what nothing passes."""

    def __init__(self, models: Any, *, range: Any, nothing: Any) -> None:
        self._models = models
        self._range = range
        self._nothing = nothing

    def of(self, filter: Filter | None) -> Any:
        """None where everything passes. Raises Inexpressible."""
        return None if filter is None else self._models.Filter(must=[self._one(filter)])

    def living(self, condition: Any = None) -> Any:
        return self._models.Filter(must=None if condition is None else [condition], must_not=[self._has(GONE)])

    def _one(self, filter: Filter) -> Any:
        match filter:
            case Eq(key, value):
                return self._has(term(key, value))
            case In(_, ()) | Or(()):
                return self._nothing
            case In(key, values):
                return self._has(*{term(key, value): None for value in values})
            case Range(key):
                path = f"{NUMBERS}.{number_key(key)}"
                return self._models.FieldCondition(key=path, range=self._range(**bounds(filter)))
            case Exists(key):
                return self._has(key_term(key))
            case And(of):
                return self._models.Filter(must=[self._one(part) for part in of])
            case Or(of):
                return self._models.Filter(should=[self._one(part) for part in of])
            case Not(of):
                return self._models.Filter(must_not=[self._one(of)])

    def _has(self, *terms: str) -> Any:
        return self._models.FieldCondition(key=TERMS, match=self._models.MatchAny(any=list(terms)))
