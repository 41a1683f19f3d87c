"""Filters as conditions on `vectors v`, which PostgreSQL decides as `filters.passes` does.

Metadata is compared by jsonpath, which looks into lists by itself, and for which 1 and 1.0 are the same and 1 and true
cannot be compared.
"""

from typing import Any

from shared.vectors.filters import CREATED_AT, And, Eq, Exists, Filter, In, Not, Or, Range

_SIGNS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_CREATED = "extract(epoch FROM v.created_at)::float8"


def condition(filter: Filter | None, *, contains: str | None = None, first: int) -> tuple[str, list[Any]]:
    """SQL, and the values of its parameters, which count from `first`."""
    compiler = _Compiler(first)
    parts = [compiler.of(filter)] if filter is not None else []
    if contains is not None:
        parts.append(f"position({compiler.parameter(contains, 'text')} in coalesce(v.text, '')) > 0")
    return " AND ".join(parts) or "true", compiler.values


class _Compiler:
    def __init__(self, first: int) -> None:
        self._first = first
        self.values: list[Any] = []

    def parameter(self, value: object, type: str) -> str:
        self.values.append(value)
        return f"${self._first + len(self.values) - 1}::{type}"

    def of(self, filter: Filter) -> str:
        match filter:
            case Eq(key, value):
                return self._any(key, [value])
            case In(key, values):
                return self._any(key, list(values))
            case Range(key):
                bounds = {name: bound for name in _SIGNS if (bound := getattr(filter, name)) is not None}
                return self._within(key, bounds)
            case Exists(key):
                return "true" if key == CREATED_AT else self._path(key, "$[*]", {})
            case And(of):
                return " AND ".join(f"({self.of(part)})" for part in of) or "true"
            case Or(of):
                return " OR ".join(f"({self.of(part)})" for part in of) or "false"
            case Not(of):
                return f"NOT ({self.of(of)})"

    def _any(self, key: str, values: list[Any]) -> str:
        if key == CREATED_AT:
            numbers = [float(value) for value in values if not isinstance(value, bool | str)]
            return f"{_CREATED} = ANY ({self.parameter(numbers, 'float8[]')})"
        return self._path(key, "$[*] ? (@ == $values[*])", {"values": values})

    def _within(self, key: str, bounds: dict[str, float]) -> str:
        if key == CREATED_AT:
            of = [f"{_CREATED} {_SIGNS[name]} {self.parameter(float(b), 'float8')}" for name, b in bounds.items()]
            return " AND ".join(of) or "true"
        # What is no number is in no range, also in one that is open at both ends.
        compared = " && ".join(['@.type() == "number"', *(f"@ {_SIGNS[name]} ${name}" for name in bounds)])
        return self._path(key, f"$[*] ? ({compared})", bounds)

    def _path(self, key: str, path: str, variables: dict[str, Any]) -> str:
        held = f"v.metadata -> {self.parameter(key, 'text')}"
        return f"coalesce(jsonb_path_exists({held}, '{path}', {self.parameter(variables, 'jsonb')}), false)"
