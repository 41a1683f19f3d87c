"""Filters over metadata: one small tree, which every engine compiles to what it has, and which also runs by itself.

A key matches where one of its values does: metadata holds scalars and lists of scalars. 1 and 1.0 are the same value;
1 and true are not, nor 1 and "1".
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Final

from shared.errors import Invalid
from shared.ports.vector_engine import Metadata, Scalar
from shared.strict_json import Json

# What a point was created at is compared under this key: none of metadata can hold NUL.
CREATED_AT: Final = "\0created_at"
# Each means something where a filter has a key, so metadata has none of them.
RESERVED: Final = frozenset({"and", "or", "not", "in", "range", "date_range"})
DEPTH: Final = 16
PARTS: Final = 256
VALUES: Final = 1000
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Eq:
    key: str
    value: Scalar


@dataclass(frozen=True, slots=True)
class In:
    key: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """Of numbers; what is no number is in none. A bound that is None is open."""

    key: str
    gt: float | None = None
    gte: float | None = None
    lt: float | None = None
    lte: float | None = None


@dataclass(frozen=True, slots=True)
class Exists:
    """The key is there, and holds more than an empty list."""

    key: str


@dataclass(frozen=True, slots=True)
class And:
    """Of nothing: everything passes."""

    of: "tuple[Filter, ...]"


@dataclass(frozen=True, slots=True)
class Or:
    """Of nothing: nothing passes."""

    of: "tuple[Filter, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    of: "Filter"


Filter = Eq | In | Range | Exists | And | Or | Not


def parse(filters: dict[str, Json] | None) -> Filter | None:
    """The API's `filters`, or None where they hold nothing. Raises Invalid, which names the place.

    {key: value}, all of which hold; a list of values means one of them. {key: {gt, gte, lt, lte, in, exists}} compares.
    {and: [filters], or: [filters], not: filters, in: {key: [values]}, range: {key: {gt, ...}},
    date_range: {start, end}}: both ends of the latter belong to it, a date as `end` with its whole day.
    """
    if not filters:
        return None
    reader = _Reader()
    return reader.every(filters, "filters", depth=1)


def passes(filter: Filter, metadata: Metadata, created_at: float) -> bool:
    """What every engine's own evaluation is held to."""
    match filter:
        case Eq(key, value):
            return any(same(held, value) for held in _values(key, metadata, created_at))
        case In(key, values):
            return any(same(held, value) for held in _values(key, metadata, created_at) for value in values)
        case Range(key):
            return any(_is_number(held) and _within(filter, held) for held in _values(key, metadata, created_at))
        case Exists(key):
            return bool(_values(key, metadata, created_at))
        case And(of):
            return all(passes(part, metadata, created_at) for part in of)
        case Or(of):
            return any(passes(part, metadata, created_at) for part in of)
        case Not(of):
            return not passes(of, metadata, created_at)


def same(one: Scalar, other: Scalar) -> bool:
    """Equal, and of one kind: to Python 1 is True."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _values(key: str, metadata: Metadata, created_at: float) -> Sequence[Scalar]:
    if key == CREATED_AT:
        return (created_at,)
    held = metadata.get(key, ())
    return held if isinstance(held, list | tuple) else (held,)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _within(bounds: Range, value: Scalar) -> bool:
    assert isinstance(value, int | float)
    return (
        (bounds.gt is None or value > bounds.gt)
        and (bounds.gte is None or value >= bounds.gte)
        and (bounds.lt is None or value < bounds.lt)
        and (bounds.lte is None or value <= bounds.lte)
    )


_BOUNDS: Final = frozenset({"gt", "gte", "lt", "lte"})
_OPERATORS: Final = _BOUNDS | {"in", "exists"}


class _Reader:
    """Counts what it has read, since a filter is compared with every point."""

    def __init__(self) -> None:
        self._parts = 0
        self._values = 0
        self._named: Mapping[str, Callable[[Json, str, int], Filter]] = {
            "and": lambda given, at, depth: And(self._each(given, at, depth)),
            "or": lambda given, at, depth: Or(self._each(given, at, depth)),
            "not": lambda given, at, depth: Not(self.every(given, at, depth + 1)),
            "in": lambda given, at, depth: _all(
                self._in(key, values, f"{at}.{key}") for key, values in _keys(given, at)
            ),
            "range": lambda given, at, depth: _all(
                self._range(key, bounds, f"{at}.{key}") for key, bounds in _keys(given, at)
            ),
            "date_range": lambda given, at, depth: self._dates(given, at),
        }

    def every(self, given: Json, at: str, depth: int) -> Filter:
        """All that one object asks for."""
        if not isinstance(given, dict):
            raise Invalid(f"{at} is not an object")
        if depth > DEPTH:
            raise Invalid(f"{at}: filters are nested deeper than {DEPTH}")
        return _all(self._one(key, value, f"{at}.{key}", depth) for key, value in given.items())

    def _each(self, given: Json, at: str, depth: int) -> tuple[Filter, ...]:
        if not isinstance(given, list):
            raise Invalid(f"{at} is not a list of filters")
        return tuple(self.every(part, f"{at}[{number}]", depth + 1) for number, part in enumerate(given))

    def _one(self, key: str, given: Json, at: str, depth: int) -> Filter:
        self._count()
        if read := self._named.get(key):
            return read(given, at, depth)
        if isinstance(given, dict):
            return self._compared(key, given, at)
        if isinstance(given, list):
            return self._in(key, given, at)
        return Eq(key, self._scalar(given, at))

    def _compared(self, key: str, given: Mapping[str, Json], at: str) -> Filter:
        if unknown := given.keys() - _OPERATORS:
            raise Invalid(f"{at} has {min(unknown)!r}, which is none of {', '.join(sorted(_OPERATORS))}")
        parts: list[Filter] = []
        if bounds := {name: bound for name, bound in given.items() if name in _BOUNDS}:
            parts.append(self._range(key, bounds, at))
        if "in" in given:
            parts.append(self._in(key, given["in"], f"{at}.in"))
        if "exists" in given:
            if not isinstance(given["exists"], bool):
                raise Invalid(f"{at}.exists is neither true nor false")
            parts.append(Exists(key) if given["exists"] else Not(Exists(key)))
        if not parts:
            raise Invalid(f"{at} compares with nothing")
        return _all(parts)

    def _in(self, key: str, given: Json, at: str) -> Filter:
        if not isinstance(given, list):
            raise Invalid(f"{at} is not a list of values")
        self._count()
        return In(key, tuple(self._scalar(value, f"{at}[{number}]") for number, value in enumerate(given)))

    def _range(self, key: str, given: Json, at: str) -> Filter:
        if not isinstance(given, dict) or not given or given.keys() - _BOUNDS:
            raise Invalid(f"{at} is not an object of gt, gte, lt and lte")
        self._count()
        return Range(key, **{name: _number(bound, f"{at}.{name}") for name, bound in given.items()})

    def _dates(self, given: Json, at: str) -> Filter:
        if not isinstance(given, dict) or not given or given.keys() - {"start", "end"}:
            raise Invalid(f"{at} is not an object of start and end")
        start, _ = _time(given.get("start"), f"{at}.start")
        end, is_day = _time(given.get("end"), f"{at}.end")
        if end is not None and is_day:
            return Range(CREATED_AT, gte=start, lt=end + _DAY_S)
        return Range(CREATED_AT, gte=start, lte=end)

    def _scalar(self, given: Json, at: str) -> Scalar:
        self._values += 1
        if self._values > VALUES:
            raise Invalid(f"{at}: filters compare with more than {VALUES} values")
        if not isinstance(given, str | int | float):
            raise Invalid(f"{at} is neither a string, a number nor a boolean")
        return given

    def _count(self) -> None:
        self._parts += 1
        if self._parts > PARTS:
            raise Invalid(f"filters have more than {PARTS} parts")


def _all(parts: Iterable[Filter]) -> Filter:
    found = tuple(parts)
    return found[0] if len(found) == 1 else And(found)


def _keys(given: Json, at: str) -> Iterable[tuple[str, Json]]:
    if not isinstance(given, dict):
        raise Invalid(f"{at} is not an object of keys")
    return given.items()


def _number(given: Json, at: str) -> float:
    if not isinstance(given, int | float) or isinstance(given, bool):
        raise Invalid(f"{at} is not a number")
    return given


def _time(given: Json, at: str) -> tuple[float | None, bool]:
    """Seconds since 1970, and whether they stand for a whole day. A time without an offset is in UTC."""
    if given is None:
        return None, False
    try:
        if not isinstance(given, str):
            raise ValueError
        if len(given) == len("2026-01-31"):
            return datetime.combine(date.fromisoformat(given), time(), UTC).timestamp(), True
        moment = datetime.fromisoformat(given)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp(), False
    except (ValueError, OverflowError):
        raise Invalid(f"{at} is neither a date nor a time of RFC 3339") from None
