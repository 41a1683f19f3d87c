from itertools import combinations, pairwise

import pytest

from shared.graph.measures import communities, pagerank
from shared.ports.graph import GraphEdge, GraphNode, Subgraph


def graph(names: str, *edges: str) -> Subgraph:
    return Subgraph(
        nodes=[GraphNode(id=name, kind="Task", properties={}) for name in names],
        edges=[GraphEdge(type="USED", source=edge[0], target=edge[1]) for edge in edges],
    )


def clique(names: str) -> list[str]:
    return [a + b for a, b in combinations(names, 2)]


def test_two_cliques_with_a_bridge_are_two_communities() -> None:
    whole = graph("abcdefgh", *clique("abcd"), *clique("efgh"), "de")
    assert communities(whole) == [["a", "b", "c", "d"], ["e", "f", "g", "h"]]


def test_what_hangs_on_nothing_is_alone() -> None:
    assert communities(graph("abc", "ab")) == [["a", "b"], ["c"]]
    assert communities(graph("")) == []


def test_the_order_of_nodes_and_edges_makes_no_difference() -> None:
    edges = [*clique("abcd"), *clique("efgh"), "de", *("".join(two) for two in pairwise("hijk"))]
    one, other = graph("abcdefghijk", *edges), graph("kjihgfedcba", *(edge[::-1] for edge in reversed(edges)))
    assert communities(one) == communities(other)
    assert pagerank(one) == pytest.approx(pagerank(other))


def test_ranks_add_up_to_one_and_the_middle_of_a_star_is_first() -> None:
    ranks = pagerank(graph("abcdex", "ab", "ac", "ad", "ae"))
    assert sum(ranks.values()) == pytest.approx(1)
    assert max(ranks, key=lambda name: ranks[name]) == "a" and min(ranks, key=lambda name: ranks[name]) == "x"
    assert ranks["b"] == pytest.approx(ranks["e"])


def test_equal_nodes_have_equal_ranks() -> None:
    assert pagerank(graph("abc", "ab", "bc", "ca")) == pytest.approx({"a": 1 / 3, "b": 1 / 3, "c": 1 / 3})
    assert pagerank(graph("")) == {}
