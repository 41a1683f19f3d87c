"""Which way a search goes, and about how long it takes."""

from dataclasses import dataclass
from typing import Final

from shared.stores.faiss.codes import DEEPEST

# Numbers of vectors that one thread compares in a microsecond: exactly, by their codes, and exactly here and there.
_EXACT_PER_US: Final = 6000
_CODES_PER_US: Final = 120_000
_REFINED_PER_US: Final = 2000
_FILTERED_PER_US: Final = 1000
_CALL_US: Final = 20
INLINE_US: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """A base of up to `flat_rows` has no codes. Where a filter leaves up to `exact_rows`, or up to `exact_share` of the
    rows, each of them is compared.

    Changes since the base was built are `delta_rows` at most before they are built into it. While that is done they may
    be `delta_limit`; then writers wait. `dead_share`: of the base, before it is built without them.
    """

    flat_rows: int = 4096
    exact_rows: int = 20_000
    exact_share: float = 0.2
    delta_rows: int = 4096
    delta_limit: int = 32_768
    dead_share: float = 0.25


def is_exact(sizes: Sizes, passing: int, rows: int) -> bool:
    # No more than the dead are missing: what passes lies wherever the queries do.
    if passing >= (1 - sizes.dead_share) * rows:
        return rows <= sizes.flat_rows
    return passing <= max(sizes.exact_rows, sizes.exact_share * rows)


def fetched(depth: int, passing: int, rows: int) -> int | None:
    """How many candidates have `depth` of those that pass among them, if they lie everywhere alike. None: too many."""
    if passing < rows:
        # A third more, since they never do quite.
        depth = int(depth * rows / passing * 1.33) + 1
    return None if depth > min(DEEPEST, rows) else depth


def exact_us(*, rows: int, dimension: int, queries: int, is_filtered: bool) -> float:
    return _CALL_US + rows * dimension * queries / _EXACT_PER_US + (rows / _FILTERED_PER_US if is_filtered else 0)


def codes_us(*, rows: int, dimension: int, queries: int, depth: int) -> float:
    return _CALL_US + (rows / _CODES_PER_US + depth / _REFINED_PER_US) * dimension * queries
