"""Kong's declarative file out of the declarations."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from shared.function import MIB, Spec
from shared.manifests.kong import plugins
from shared.manifests.kong.credentials import placeholder
from shared.manifests.kong.entries import Entry, entries
from shared.manifests.kong.patterns import expression, overlap, precedence
from shared.manifests.kong.places import Place

Document = dict[str, Any]

# A replica that has gone to sleep is waited for.
_COLD_START_S = 30
_CONNECT_S = 10
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_WITH_KEY = {"X-API-Key": ["~*.+"]}


def document(specs: Sequence[Spec], place: Place, *, issuer: str) -> Document:
    found = entries(specs)
    return {
        "_format_version": "3.0",
        "services": [_service(entry, place, found) for entry in found],
        "routes": [*_wrong_methods(found), _preflight(), _unknown()],
        **({"upstreams": list(place.upstreams)} if place.upstreams else {}),
        "consumers": [placeholder(issuer)],
        "plugins": plugins.everywhere(place.public_url, place.origins),
    }


def _service(entry: Entry, place: Place, others: Iterable[Entry]) -> Document:
    own = [plugins.size(entry.body_limit_bytes)] if entry.body_limit_bytes != MIB else []
    return {
        "name": entry.name,
        "url": place.url(entry),
        "connect_timeout": _CONNECT_S * 1000,
        "read_timeout": (entry.timeout_s + _COLD_START_S) * 1000,
        "write_timeout": (entry.timeout_s + _COLD_START_S) * 1000,
        # What may have been done is not done again by a gateway.
        "retries": 2 if entry.reads else 0,
        "routes": list(_routes(entry, others)),
        **({"plugins": own} if own else {}),
    }


def _routes(entry: Entry, others: Iterable[Entry]) -> Iterator[Document]:
    """One for each way to prove who asks, and of an agent's, one more each for calls that name their tool."""
    for ranked, paths in _by_precedence(entry.paths).items():
        suffix = "" if paths == entry.paths or entry.paths[0] in paths else "-probes"
        base = _route(entry.name + suffix, entry.methods, paths, ranked, streams=entry.streams)
        # With a key, a path that is open must still go before one with a variable that is not.
        keyed = entry.protected or _hides(paths, others)
        for name, named, limits in _by_tool(entry):
            proof = [plugins.proven()] if entry.protected else []
            yield _with(base, name, named, [*proof, *limits])
            if keyed:
                yield _with(base, f"{name}-key", {**named, **_WITH_KEY}, limits)


def _by_tool(entry: Entry) -> Iterator[tuple[str, dict[str, list[str]], list[Document]]]:
    if entry.tools:
        yield "-tool", {"Mcp-Name": list(entry.tools)}, [plugins.per_tool()]
    yield "", {}, []


def _by_precedence(paths: Iterable[str]) -> Mapping[int, tuple[str, ...]]:
    found: dict[int, tuple[str, ...]] = {}
    for path in paths:
        found[precedence(path)] = (*found.get(precedence(path), ()), path)
    return found


def _hides(paths: Iterable[str], others: Iterable[Entry]) -> bool:
    """Whether a request for one of them would match another entry too, that comes later."""
    return any(
        overlap(path, other) and precedence(other) < precedence(path)
        for path in paths
        for entry in others
        for other in entry.paths
    )


def _wrong_methods(found: Sequence[Entry]) -> Iterator[Document]:
    """What a path does not serve is refused by it, with what it does serve, and never falls to another one."""
    served: dict[str, set[str]] = defaultdict(set)
    for entry in found:
        for path in entry.paths:
            served[path].update(entry.methods)
    groups: dict[tuple[tuple[str, ...], int, bool], list[str]] = defaultdict(list)
    for path, methods in sorted(served.items()):
        allowed = tuple(method for method in _METHODS if method in methods)
        if len(allowed) < len(_METHODS):
            groups[allowed, precedence(path), _hides([path], found)].append(path)
    for (allowed, ranked, hides), paths in sorted(groups.items()):
        wrong = tuple(method for method in _METHODS if method not in allowed)
        said = [plugins.refused(405), plugins.headers(f"Allow:{', '.join(allowed)}")]
        name = "-".join(("only", *allowed, str(ranked), *(["first"] if hides else []))).lower()
        base = _route(name, wrong, paths, ranked)
        yield _with(base, "", {}, said)
        if hides:
            yield _with(base, "-key", _WITH_KEY, said)


def _preflight() -> Document:
    """Browsers ask here before they call; `cors` has answered them before this is refused."""
    route = {"name": "preflight", "methods": ["OPTIONS"], "paths": ["/"], "strip_path": False}
    return {**route, "plugins": [plugins.refused(405), plugins.headers(f"Allow:{', '.join(_METHODS)}")]}


def _unknown() -> Document:
    """So that what is nowhere is refused as everything else is."""
    return {"name": "unknown", "paths": ["/"], "strip_path": False, "plugins": [plugins.refused(404)]}


def _route(name: str, methods: Iterable[str], paths: Iterable[str], ranked: int, *, streams: bool = False) -> Document:
    return {
        "name": name,
        "methods": list(methods),
        "paths": [expression(path) for path in paths],
        "regex_priority": ranked,
        "strip_path": False,
        "preserve_host": False,
        **({"response_buffering": False} if streams else {}),
    }


def _with(base: Document, suffix: str, headers: Mapping[str, list[str]], own: Sequence[Document]) -> Document:
    return {
        **base,
        "name": base["name"] + suffix,
        **({"headers": dict(headers)} if headers else {}),
        **({"plugins": list(own)} if own else {}),
    }
