"""What the actions answer."""

from pydantic import BaseModel

from shared.errors import ToolError
from shared.ports.memory import Graph

# Each has three keys, and a result may have 10,000.
MOST_ANSWERED = 3300


class Deleted(BaseModel):
    """Also where nothing was there to be deleted."""

    success: bool = True
    message: str


def small_enough(graph: Graph) -> Graph:
    """Raises ToolError for more than one answer holds."""
    count = len(graph.entities) + len(graph.relations)
    if count > MOST_ANSWERED:
        raise ToolError(
            f"these are {count} entities and relations, and one answer holds {MOST_ANSWERED}: search_nodes with a"
            " narrower query, or open_nodes with fewer names, gives a part of them"
        )
    return graph
