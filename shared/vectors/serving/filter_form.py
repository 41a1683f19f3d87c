"""Filters as the vector service's requests carry them: lists that begin with what they are."""

from collections.abc import Sequence
from math import isfinite
from typing import Final, cast

from shared.errors import Invalid
from shared.ports.vector_engine import Scalar
from shared.strict_json import Json
from shared.vectors.filters import DEPTH, PARTS, VALUES, And, Eq, Exists, Filter, In, Not, Or, Range

# What a caller's filter may be, and what is put around it.
_DEPTH: Final = 3 * DEPTH + 8
_PARTS: Final = 4 * PARTS + VALUES
_BOUNDS: Final = ("gt", "gte", "lt", "lte")


def form(filter: Filter) -> list[Json]:
    match filter:
        case Eq(key, value):
            return ["eq", key, value]
        case In(key, values):
            return ["in", key, list(values)]
        case Range(key):
            return ["range", key, [getattr(filter, bound) for bound in _BOUNDS]]
        case Exists(key):
            return ["exists", key]
        case And(of):
            return ["and", [form(part) for part in of]]
        case Or(of):
            return ["or", [form(part) for part in of]]
        case Not(of):
            return ["not", form(of)]


def filter_of(given: Json) -> Filter:
    """Raises Invalid."""
    return _Reader().read(given, 1)


class _Reader:
    def __init__(self) -> None:
        self._parts = 0

    def read(self, given: Json, depth: int) -> Filter:
        self._parts += 1
        if depth > _DEPTH or self._parts > _PARTS:
            raise Invalid("the filter is too large")
        match given:
            case ["eq", str(key), str() | int() | float() as value] if _is_scalar(value):
                return Eq(key, value)
            case ["in", str(key), list(values)] if len(values) <= VALUES and all(map(_is_scalar, values)):
                return In(key, tuple(cast(Sequence[Scalar], values)))
            case ["range", str(key), list(bounds)] if len(bounds) == len(_BOUNDS) and all(map(_is_bound, bounds)):
                return Range(key, **dict(zip(_BOUNDS, cast(Sequence[float | None], bounds), strict=True)))
            case ["exists", str(key)]:
                return Exists(key)
            case ["and", list(parts)]:
                return And(tuple(self.read(part, depth + 1) for part in parts))
            case ["or", list(parts)]:
                return Or(tuple(self.read(part, depth + 1) for part in parts))
            case ["not", part]:
                return Not(self.read(part, depth + 1))
        raise Invalid("the filter has a part that is none")


def _is_scalar(value: Json) -> bool:
    return isinstance(value, str | int) or (isinstance(value, float) and isfinite(value))


def _is_bound(value: Json) -> bool:
    return value is None or (_is_scalar(value) and not isinstance(value, bool | str))
