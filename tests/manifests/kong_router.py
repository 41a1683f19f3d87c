"""Kong's router in its flavor `traditional_compatible`, as far as our file uses it: what a request matches, and which
of several matches wins."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

_RESERVED = frozenset(b"!*'();:@&=+$,/?%#[]")
_ENCODED = re.compile(rb"%([0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Match:
    """`service` is None where Kong answers by itself."""

    route: str
    service: str | None
    plugins: Mapping[str, Mapping[str, Any]] = field(hash=False)


@dataclass(frozen=True, slots=True)
class _Route:
    match: Match
    methods: frozenset[str]
    headers: tuple[tuple[str, tuple[re.Pattern[str], ...]], ...]
    expressions: tuple[re.Pattern[str], ...]
    prefixes: tuple[str, ...]
    priority: int

    def takes(self, method: str, path: str, headers: Mapping[str, str]) -> bool:
        if self.methods and method not in self.methods:
            return False
        for name, values in self.headers:
            sent = headers.get(name)
            if sent is None or not any(value.search(sent.lower()) for value in values):
                return False
        return any(e.search(path) for e in self.expressions) or any(path.startswith(p) for p in self.prefixes)


class Router:
    def __init__(self, document: Mapping[str, Any]) -> None:
        owned = [(route, service["name"]) for service in document["services"] for route in service["routes"]]
        alone = [(route, None) for route in document["routes"]]
        self._routes = sorted((_route(*each) for each in [*owned, *alone]), key=lambda each: -each.priority)

    def match(self, method: str, target: str, headers: Mapping[str, str] | None = None) -> Match | None:
        """None is Kong's own 404. Asserts that no other match is as good: which one wins then is chance."""
        path = normalized(target)
        if path is None:
            return None
        sent = {name.lower(): value for name, value in (headers or {}).items()}
        found = [each for each in self._routes if each.takes(method, path, sent)]
        best = [each.match.route for each in found if each.priority == found[0].priority]
        assert len(best) <= 1, f"{method} {path} matches {best} alike"
        return found[0].match if found else None


def _route(route: Mapping[str, Any], service: str | None) -> _Route:
    paths: list[str] = route.get("paths", [])
    expressions = [path[1:] for path in paths if path.startswith("~")]
    prefixes = [path for path in paths if not path.startswith("~")]
    assert not (expressions and prefixes) and len({len(path) for path in prefixes}) <= 1, "Kong would split it"
    headers = route.get("headers", {})
    plugins = {each["name"]: each["config"] for each in route.get("plugins", ())}
    return _Route(
        match=Match(route["name"], service, plugins),
        methods=frozenset(route.get("methods", ())),
        headers=tuple((name.lower(), tuple(map(_value, values))) for name, values in headers.items()),
        # There `$` is the very end, also before a newline.
        expressions=tuple(re.compile("^" + path.removesuffix("$") + r"\Z", re.DOTALL) for path in expressions),
        prefixes=tuple(prefixes),
        priority=_priority(route, bool(expressions), prefixes),
    )


def _value(value: str) -> re.Pattern[str]:
    # What is no expression is compared whole; both sides in lower case.
    return re.compile(value[2:].lower()) if value.startswith("~*") else re.compile(rf"\A{re.escape(value.lower())}\Z")


def _priority(route: Mapping[str, Any], is_expression: bool, prefixes: Iterable[str]) -> int:
    """How many kinds of conditions it has; how many headers; whether its path is an expression, and of what rank."""
    weight = sum(bool(route.get(kind)) for kind in ("methods", "hosts", "headers", "paths", "snis"))
    rank = route.get("regex_priority", 0) if is_expression else 0
    assert 0 <= rank < 1 << 32
    length = max(map(len, prefixes), default=0)
    return weight << 61 | len(route.get("headers", {})) << 52 | is_expression << 51 | rank << 19 | length


def normalized(target: str) -> str | None:
    """A path as it is compared: no doubled slashes, no dots that lead elsewhere, decoded where that changes nothing.

    None for one that is not UTF-8 then.
    """
    raw = _ENCODED.sub(_decoded, target.partition("?")[0].encode())
    try:
        path = raw.decode()
    except UnicodeDecodeError:
        return None
    return _without_dots(path) if "." in path or "//" in path else path


def _decoded(found: re.Match[bytes]) -> bytes:
    number = int(found[1], 16)
    return found[0].upper() if number in _RESERVED else bytes([number])


def _without_dots(path: str) -> str:
    kept: list[str] = []
    while path:
        if path in ("/.", "/.."):
            if path == "/..":
                kept = kept[:-1]
            path = "/"
        elif path.startswith(("/./", "//")):
            path = path[2:] if path[1] == "." else path[1:]
        elif path.startswith("/../"):
            path, kept = path[3:], kept[:-1]
        else:
            end = path.find("/", 1)
            kept.append(path if end < 0 else path[:end])
            path = "" if end < 0 else path[end:]
    return "".join(kept)
