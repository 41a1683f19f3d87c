"""From a method and a path to what serves it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Generic, TypeVar
from urllib.parse import unquote

from shared.errors import Invalid, MethodNotAllowed, NotFound

T = TypeVar("T")
_NO_VALUES: Mapping[str, str] = MappingProxyType({})


@dataclass(slots=True)
class _Node(Generic[T]):
    literal: dict[str, "_Node[T]"] = field(default_factory=dict)
    variable: "_Node[T] | None" = None
    methods: dict[str, tuple[T, tuple[str, ...]]] = field(default_factory=dict)


class Routes(Generic[T]):
    """A tree of path segments, so a look-up costs the path's length, however many routes there are."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()
        # A path without variables wins at every fork, so the tree need not be asked for it.
        self._whole: dict[str, _Node[T]] = {}

    def add(self, method: str, path: str, target: T) -> None:
        """Raises ValueError when the route is taken."""
        node, names = self._root, []
        for segment in path.strip("/").split("/"):
            if segment.startswith("{"):
                names.append(segment.strip("{}"))
                node.variable = node.variable or _Node()
                node = node.variable
            else:
                node = node.literal.setdefault(segment, _Node())
        if method in node.methods:
            raise ValueError(f"{method} {path} is served twice")
        node.methods[method] = (target, tuple(names))
        if not names:
            self._whole["/" + path.strip("/")] = node

    def match(self, method: str, path: str) -> tuple[T, Mapping[str, str]]:
        """`path` as sent, still percent-encoded. Raises NotFound or MethodNotAllowed (`details.allow`)."""
        values: list[str] = []
        node = self._whole.get(path) or self._find(self._root, path.strip("/").split("/"), 0, values)
        if node is None:
            raise NotFound(f"no such path: {path[:200]!r}")
        if method not in node.methods:
            # Whoever serves GET answers HEAD too.
            served = {*node.methods, "HEAD"} if "GET" in node.methods else node.methods
            raise MethodNotAllowed(f"{method} is not served here", allow=sorted(served))
        target, names = node.methods[method]
        return target, dict(zip(names, map(_decoded, values), strict=True)) if names else _NO_VALUES

    def _find(self, node: _Node[T], segments: list[str], at: int, values: list[str]) -> _Node[T] | None:
        if at == len(segments):
            return node if node.methods else None
        if (literal := node.literal.get(segments[at])) and (found := self._find(literal, segments, at + 1, values)):
            return found
        if node.variable and segments[at]:
            values.append(segments[at])
            if found := self._find(node.variable, segments, at + 1, values):
                return found
            values.pop()
        return None


def _decoded(segment: str) -> str:
    try:
        text = unquote(segment, errors="strict")
    except UnicodeDecodeError:
        raise Invalid("the path is not UTF-8") from None
    if "\0" in text:
        raise Invalid("the path holds a NUL character")
    return text
