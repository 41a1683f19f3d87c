"""What makes two copies of an element comparable: a number that follows from all that it says."""

import hashlib
import json
from uuid import UUID

from shared.ports.graph import Edge, Node, Star, Sum

# Sums of a million stay far within 64 bits, signed.
_BYTES = 5


def mark_of(user_id: UUID, element: Node | Edge) -> int:
    said = _node(element) if isinstance(element, Node) else _edge(element)
    text = json.dumps([user_id.hex, *said], sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=_BYTES).digest(), "big")


def sum_of(star: Star) -> Sum:
    elements: tuple[Node | Edge, ...] = (*star.nodes, *star.edges)
    return Sum(len(elements), sum(mark_of(star.user_id, element) for element in elements))


def _node(node: Node) -> tuple[object, ...]:
    return node.kind, node.id, dict(node.properties)


def _edge(edge: Edge) -> tuple[object, ...]:
    return edge.type, edge.source.kind, edge.source.id, edge.target.kind, edge.target.id, edge.score
