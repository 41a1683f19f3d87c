"""Which relations lead to which kinds of nodes, so that an engine looks at no others."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from shared.ports.graph import RELATIONS, Kind, Relation

Way = Literal["in", "out"]
# Every star keeps to it.
ENDS: Mapping[Relation, tuple[frozenset[Kind], frozenset[Kind]]] = {
    "CREATED": (frozenset({"User"}), frozenset({"Task", "Workflow"})),
    "EXECUTES": (frozenset({"Agent"}), frozenset({"Task"})),
    "MENTIONS": (frozenset({"Document"}), frozenset({"Agent", "Document", "Task"})),
    "OWNS": (frozenset({"User", "Document"}), frozenset({"Chunk", "Conversation", "Document"})),
    "PARTICIPATES_IN": (frozenset({"Task"}), frozenset({"Conversation", "Workflow"})),
    "PRODUCES": (frozenset({"Task"}), frozenset({"Document"})),
    "SIMILAR_TO": (frozenset({"Document"}), frozenset({"Document"})),
    "USED": (frozenset({"Task"}), frozenset({"Document", "Task"})),
}


@dataclass(frozen=True, slots=True)
class Leading:
    """`surely`: those of `all` whose other ends are of the kinds whatever they are."""

    all: list[Relation]
    surely: list[Relation]

    @property
    def is_sure(self) -> bool:
        return len(self.all) == len(self.surely)


def leading(way: Way, relations: Collection[Relation], kinds: Collection[Kind]) -> Leading:
    wanted, end = frozenset(kinds), 1 if way == "out" else 0
    possible = [one for one in RELATIONS if one in relations and ENDS[one][end] & wanted]
    return Leading(possible, [one for one in possible if ENDS[one][end] <= wanted])
