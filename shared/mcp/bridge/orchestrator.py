"""Which upstream a request is for, and the request as it will understand it: bytes are changed where they must be."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from shared.mcp.bridge.names import joined_uri, parted, parted_uri
from shared.mcp.wire import id_of
from shared.strict_json import Json, dump, load, parse

_URI: Final = b'"uri"'


@dataclass(frozen=True, slots=True)
class Routed:
    """`name`: as the upstream knows it, `said` as the caller does. `owner` is None where `upstream` is the owner."""

    id: bytes
    upstream: str
    owner: str | None
    said: str
    name: str
    body: bytes


class Orchestrator:
    """`outside`: the upstream of tools whose owner is none of `owners`; there they are known by their whole name."""

    def __init__(self, owners: Collection[str], *, outside: str) -> None:
        self._owners = frozenset(owners)
        self._outside = outside

    def route(self, body: bytes) -> Routed | None:
        """None for what is not passed on. Raises Invalid for what is no JSON."""
        message = parse(body)
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            return None
        number, method, params = message.get("id"), message.get("method"), message.get("params")
        if isinstance(number, bool) or not isinstance(number, str | int):
            return None
        if not isinstance(method, str) or not isinstance(params, dict):
            return None
        holder, key = _named(method, params)
        said = None if holder is None else holder.get(key)
        if holder is None or not isinstance(said, str):
            return None
        is_uri = key == "uri"
        owner, name = parted_uri(said) if is_uri else parted(said)
        if owner in self._owners:
            return Routed(id_of(number), owner, None, said, name, _renamed(body, message, holder, key, said, name))
        if not owner or method != "tools/call":
            return None
        return Routed(id_of(number), self._outside, owner, said, said, body)

    def returned(self, routed: Routed, body: bytes) -> bytes:
        """An answer whose resources are named as callers of the bridge can ask for them."""
        if _URI not in body or routed.owner is not None:
            return body
        message = load(body)
        result = message.get("result") if isinstance(message, dict) else None
        if isinstance(result, dict):
            for holder in _resources(result):
                if isinstance(uri := holder.get("uri"), str):
                    holder["uri"] = joined_uri(routed.upstream, uri)
        return dump(message)


def _named(method: str, params: dict[str, Json]) -> tuple[dict[str, Json] | None, str]:
    """Where the name of what a request is about stands."""
    match method:
        case "tools/call" | "prompts/get":
            return params, "name"
        case "resources/read":
            return params, "uri"
        case "completion/complete":
            reference = params.get("ref")
            if isinstance(reference, dict):
                return reference, "uri" if reference.get("type") == "ref/resource" else "name"
    return None, ""


def _renamed(body: bytes, message: dict[str, Json], holder: dict[str, Json], key: str, said: str, name: str) -> bytes:
    written = dump(said)
    # Without escapes a text has one spelling, so the only place where it stands is the one that was read.
    if b"\\" not in body and body.count(written) == 1:
        return body.replace(written, dump(name))
    holder[key] = name
    return dump(message)


def _resources(result: Mapping[str, Json]) -> list[dict[str, Json]]:
    """Whatever names a resource in the answers to the methods that are passed on."""
    blocks = [*_list(result, "content"), *_list(result, "contents")]
    blocks += [content for message in _list(result, "messages") if isinstance(content := message.get("content"), dict)]
    found = [block for block in blocks if "uri" in block]
    return found + [inner for block in blocks if isinstance(inner := block.get("resource"), dict)]


def _list(result: Mapping[str, Json], key: str) -> list[dict[str, Json]]:
    items = result.get(key)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
