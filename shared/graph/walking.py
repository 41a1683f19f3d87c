"""Walks through a user's graph, whatever holds it: steps outward level by level, each of them bounded."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from itertools import islice, zip_longest
from uuid import UUID

from shared.errors import NotFound
from shared.ports.graph import KINDS, RELATIONS, Direction, Graph, GraphEdge, GraphNode, Kind, Subgraph

# What hangs on one node: a user's own has an edge for every task.
PER_NODE = 200
_MOST_SEEN = 5000
_LEAST_SHARE = 8

_Key = tuple[str, str, str]


async def node(graph: Graph, user_id: UUID, id: str) -> GraphNode:
    """Raises NotFound."""
    found = await graph.nodes(user_id, [id])
    if not found:
        raise NotFound(f"no node {id!r}")
    return found[0]


async def neighbours(
    graph: Graph, user_id: UUID, id: str, *, depth: int, kinds: Collection[Kind], limit: int
) -> Subgraph:
    """The nearest first; what is not of the kinds is neither shown nor walked through. Raises NotFound."""
    wanted = kinds or KINDS
    found, edges = {id: None}, dict[_Key, GraphEdge]()
    level, truncated = [id], False
    for _ in range(depth):
        room = limit + 1 - len(found)
        step, is_cut = await _outward(graph, user_id, level, wanted, seen=found, room=room)
        fresh = _ends(step) - found.keys()
        truncated = truncated or is_cut or len(fresh) > room
        level = sorted(_in_turn(step, level, fresh, room))
        found.update(dict.fromkeys(level))
        edges.update(_keyed(step))
        if not level:
            break
    known = {one.id: one for one in await graph.nodes(user_id, found)}
    if id not in known:
        raise NotFound(f"no node {id!r}")
    shown = [edge for edge in edges.values() if edge.source in known and edge.target in known]
    nodes = [known[one] for one in found if one in known]
    return Subgraph(nodes=nodes, edges=_ordered(shown), truncated=truncated)


async def _outward(
    graph: Graph, user_id: UUID, level: Sequence[str], kinds: Collection[Kind], *, seen: Collection[str], room: int
) -> tuple[list[GraphEdge], bool]:
    """One step, and whether a node has more edges than were looked at.

    Each node's share comes first, so that one with very many neighbours does not stand for all of them; where there is
    room after that, those that have more are asked again.
    """
    most = room + len(seen)
    share = min(most, max(_LEAST_SHARE, -(-2 * room // len(level)) + 1))
    step: list[GraphEdge] = []
    asked: Sequence[str] = level
    while True:
        step += await graph.edges(user_id, asked, direction="both", relations=RELATIONS, kinds=kinds, limit=share)
        counted = Counter(edge.source for edge in step), Counter(edge.target for edge in step)
        asked = [one for one in level if max(counted[0][one], counted[1][one]) >= share]
        if not asked or share == most or len(_ends(step) - set(seen)) > room:
            return step, bool(asked)
        share = most


def _in_turn(step: Iterable[GraphEdge], level: Sequence[str], fresh: Collection[str], room: int) -> set[str]:
    """One neighbour of each node, then a second one, as long as there is room."""
    hanging: dict[str, list[str]] = {one: [] for one in level}
    for edge in _ordered(step):
        for start, end in ((edge.source, edge.target), (edge.target, edge.source)):
            if start in hanging and end in fresh:
                hanging[start].append(end)
    chosen: dict[str, None] = {}
    for row in zip_longest(*hanging.values()):
        chosen.update((one, None) for one in row if one is not None)
    return set(islice(chosen, room))


async def path(graph: Graph, user_id: UUID, source: str, target: str, *, longest: int) -> Subgraph:
    """A shortest one, whichever way its edges point. Raises NotFound where there is none so short."""
    ends = {one.id: one for one in await graph.nodes(user_id, [source, target])}
    for end in (source, target):
        if end not in ends:
            raise NotFound(f"no node {end!r}")
    # From both ends, and always on where there is less to look at.
    seen: tuple[dict[str, GraphEdge | None], ...] = ({source: None}, {target: None})
    levels = [[source], [target]]
    meeting = source if source == target else None
    for _ in range(longest):
        if meeting is not None or not all(levels) or len(seen[0]) + len(seen[1]) > _MOST_SEEN:
            break
        side = 0 if len(levels[0]) <= len(levels[1]) else 1
        step = await graph.edges(user_id, levels[side], direction="both", relations=RELATIONS, limit=PER_NODE)
        levels[side] = _reached(seen[side], _ordered(step))
        meeting = next((one for one in levels[side] if one in seen[1 - side]), None)
    if meeting is None:
        raise NotFound(f"no path of {longest} steps leads from {source!r} to {target!r}")
    there = _traced(seen[0], meeting)
    back = _traced(seen[1], meeting)
    edges = [*reversed(there), *back]
    ids = _along(source, edges)
    known = {one.id: one for one in await graph.nodes(user_id, ids)}
    return Subgraph(nodes=[known[one] for one in ids if one in known], edges=edges)


def _reached(seen: dict[str, GraphEdge | None], step: Iterable[GraphEdge]) -> list[str]:
    fresh = []
    here = set(seen)
    for edge in step:
        for start, end in ((edge.source, edge.target), (edge.target, edge.source)):
            if start in here and end not in seen:
                seen[end] = edge
                fresh.append(end)
    return fresh


def _traced(seen: dict[str, GraphEdge | None], end: str) -> list[GraphEdge]:
    edges = []
    while (edge := seen[end]) is not None:
        edges.append(edge)
        end = edge.source if edge.target == end else edge.target
    return edges


def _along(start: str, edges: Iterable[GraphEdge]) -> list[str]:
    ids = [start]
    for edge in edges:
        ids.append(edge.target if edge.source == ids[-1] else edge.source)
    return ids


async def similar(graph: Graph, user_id: UUID, document_id: str, *, limit: int) -> list[tuple[GraphNode, float]]:
    """The most alike first, whichever of two found the other; of two scores the higher. Raises NotFound."""
    if (await node(graph, user_id, document_id)).kind != "Document":
        raise NotFound(f"no document {document_id!r}")
    step = await graph.edges(user_id, [document_id], direction="both", relations=["SIMILAR_TO"], limit=PER_NODE)
    scores: dict[str, float] = {}
    for edge in step:
        other = edge.target if edge.source == document_id else edge.source
        scores[other] = max(scores.get(other, -2.0), edge.score or 0.0)
    best = sorted(scores, key=lambda one: (-scores[one], one))[:limit]
    known = {one.id: one for one in await graph.nodes(user_id, best)} if best else {}
    return [(known[one], scores[one]) for one in best if one in known]


async def step_from(
    graph: Graph, user_id: UUID, ids: Collection[str], direction: Direction, *relations: str
) -> list[GraphEdge]:
    """All of one step, in one order."""
    if not ids:
        return []
    wanted = [relation for relation in RELATIONS if relation in relations]
    return _ordered(await graph.edges(user_id, ids, direction=direction, relations=wanted, limit=PER_NODE))


def _ends(edges: Iterable[GraphEdge]) -> set[str]:
    return {end for edge in edges for end in (edge.source, edge.target)}


def _keyed(edges: Iterable[GraphEdge]) -> dict[_Key, GraphEdge]:
    return {(edge.source, edge.type, edge.target): edge for edge in edges}


def _ordered(edges: Iterable[GraphEdge]) -> list[GraphEdge]:
    return [edge for _, edge in sorted(_keyed(edges).items())]
