"""Where a document comes from: the task that has put it out, what that was given, and so on to the beginning."""

from uuid import UUID

from pydantic import BaseModel

from shared.errors import NotFound
from shared.graph.walking import node, step_from
from shared.ports.graph import Graph, GraphEdge, GraphNode

_MOST_TASKS = 500


class Origin(BaseModel):
    """One task on the way. `depth` counts from the document; ids are those of `nodes`."""

    task_id: str
    depth: int
    agent: str | None
    made: list[str]
    used: list[str]
    conversations: list[str]


class Provenance(BaseModel):
    """`origins`: the nearest first. `truncated`: there are more, or some lie deeper than was asked for."""

    document: GraphNode
    origins: list[Origin]
    nodes: list[GraphNode]
    edges: list[GraphEdge]
    truncated: bool


async def provenance(graph: Graph, user_id: UUID, document_id: str, *, depth: int) -> Provenance:
    """Raises NotFound."""
    document = await node(graph, user_id, document_id)
    if document.kind != "Document":
        raise NotFound(f"no document {document_id!r}")
    origins: dict[str, Origin] = {}
    edges: list[GraphEdge] = []
    things, level = {document_id}, await _makers(graph, user_id, [document_id], edges)
    for distance in range(1, depth + 1):
        level = [task for task in level if task not in origins][: _MOST_TASKS - len(origins)]
        if not level:
            break
        used = await step_from(graph, user_id, level, "out", "USED")
        around = await step_from(graph, user_id, level, "both", "EXECUTES", "CREATED", "PARTICIPATES_IN")
        edges += [*used, *around]
        for task in level:
            origins[task] = _origin(task, distance, edges)
        ids = {edge.target for edge in used}
        kinds = {one.id: one.kind for one in await graph.nodes(user_id, ids)} if ids else {}
        documents = sorted(name for name, kind in kinds.items() if kind == "Document" and name not in things)
        things.update(documents)
        tasks = sorted(name for name, kind in kinds.items() if kind == "Task")
        level = [*tasks, *await _makers(graph, user_id, documents, edges)]
    truncated = any(task not in origins for task in level)
    known = await graph.nodes(user_id, {end for edge in edges for end in (edge.source, edge.target)} | {document_id})
    ordered = {(edge.source, edge.type, edge.target): edge for edge in edges}
    return Provenance(
        document=document,
        origins=list(origins.values()),
        nodes=sorted(known, key=lambda one: (one.kind, one.id)),
        edges=[edge for _, edge in sorted(ordered.items())],
        truncated=truncated,
    )


async def _makers(graph: Graph, user_id: UUID, documents: list[str], edges: list[GraphEdge]) -> list[str]:
    found = await step_from(graph, user_id, documents, "in", "PRODUCES")
    edges += found
    return [edge.source for edge in found]


def _origin(task: str, distance: int, edges: list[GraphEdge]) -> Origin:
    out = [edge for edge in edges if edge.source == task]
    agents = [edge.source for edge in edges if edge.target == task and edge.type == "EXECUTES"]
    return Origin(
        task_id=task,
        depth=distance,
        agent=agents[0] if agents else None,
        made=[edge.target for edge in out if edge.type == "PRODUCES"],
        used=[edge.target for edge in out if edge.type == "USED"],
        conversations=[edge.target for edge in out if edge.type == "PARTICIPATES_IN"],
    )
