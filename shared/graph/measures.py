"""Communities and importance within one user's graph.

Edges count alike both ways. Label propagation after Raghavan, Albert and Kumara (2007), in fixed order and with ties to
the smallest label, so that the same graph has the same answer; what two ends have in common adds to an edge's weight,
or the first step over a bridge would join its banks. PageRank after Brin and Page (1998).
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from shared.ports.graph import Subgraph

_ROUNDS = 30
_DAMPING = 0.85
_ITERATIONS = 100
_TOLERANCE = 1e-9


def communities(graph: Subgraph) -> list[list[str]]:
    """The largest first; of what hangs on nothing, each alone."""
    near = _adjacent(graph)
    sets = {name: frozenset(others) for name, others in near.items()}
    weights = {name: [(other, 1 + len(sets[name] & sets[other])) for other in others] for name, others in near.items()}
    labels = {name: name for name in near}
    for _ in range(_ROUNDS):
        changed = False
        for name in sorted(near):
            counted: Counter[str] = Counter()
            for other, weight in weights[name]:
                counted[labels[other]] += weight
            if counted:
                most = max(counted.values())
                best = min(label for label, count in counted.items() if count == most)
                # Its own, where that is as good: else two that agree with each other would change places for ever.
                if counted[labels[name]] < most and labels[name] != best:
                    labels[name], changed = best, True
        if not changed:
            break
    members: defaultdict[str, list[str]] = defaultdict(list)
    for name in sorted(labels):
        members[labels[name]].append(name)
    return sorted(members.values(), key=lambda group: (-len(group), group))


def pagerank(graph: Subgraph) -> Mapping[str, float]:
    """Adds up to 1."""
    near = _adjacent(graph)
    if not near:
        return {}
    count = len(near)
    ranks = dict.fromkeys(near, 1 / count)
    for _ in range(_ITERATIONS):
        loose = sum(rank for name, rank in ranks.items() if not near[name])
        base = (1 - _DAMPING + _DAMPING * loose) / count
        following = dict.fromkeys(near, base)
        for name, rank in ranks.items():
            if near[name]:
                share = _DAMPING * rank / len(near[name])
                for other in near[name]:
                    following[other] += share
        moved = sum(abs(following[name] - ranks[name]) for name in near)
        ranks = following
        if moved < _TOLERANCE:
            break
    return ranks


def _adjacent(graph: Subgraph) -> dict[str, Sequence[str]]:
    near: dict[str, list[str]] = {one.id: [] for one in graph.nodes}
    for edge in graph.edges:
        if edge.source in near and edge.target in near and edge.source != edge.target:
            near[edge.source].append(edge.target)
            near[edge.target].append(edge.source)
    return {name: sorted(others) for name, others in near.items()}
