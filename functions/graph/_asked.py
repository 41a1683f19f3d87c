"""What several questions about a graph have in common."""

from typing import Annotated

from pydantic import Field

from shared.ports.graph import KINDS, Kind

# Of a whole graph, so many are looked at.
MOST_NODES, MOST_EDGES = 5000, 20_000
# Of a task, a document, a user: a UUID; of an agent its name; of a chunk its document's id and a number.
NodeId = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$")]

_ONE = f"({'|'.join(KINDS)})"
# Separated by commas.
Kinds = Annotated[str, Field(max_length=100, pattern=f"^{_ONE}(,{_ONE})*$")]


def kinds_of(text: str | None) -> frozenset[Kind]:
    """All, where nothing is said."""
    named = set(KINDS if text is None else text.split(","))
    return frozenset(kind for kind in KINDS if kind in named)
