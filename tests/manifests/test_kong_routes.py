"""Whatever is asked for, exactly the right route of Kong takes it: what is served, and what is refused."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.catalog import DOCUMENTS, agents, all_functions
from shared.errors import MethodNotAllowed, NotFound
from shared.function import Http, Mcp, WebSocket
from shared.manifests.kong.document import document
from shared.manifests.kong.places import COMPOSE, ISSUER, KNATIVE, OPENFAAS
from shared.manifests.openapi import openapi
from shared.mcp.wire import METHODS as MCP_METHODS
from shared.routing import Routes
from tests.manifests.kong_router import Router, normalized

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
PROBES = ("/health/live", "/health/ready")
PLACES = {"knative": KNATIVE, "openfaas": OPENFAAS, "compose": COMPOSE}
SPECS = {spec.deployed: spec for spec in all_functions() if isinstance(spec.trigger, Http | WebSocket)}
# What indexes documents is no MCP server.
AGENTS = {
    name: {spec.tool.name for spec in actions} for name, actions in agents(all_functions()).items() if name != DOCUMENTS
}
# Those of each server, by its name and path.
BRIDGES = {spec.deployed: spec.trigger.path for spec in all_functions() if isinstance(spec.trigger, Mcp)}
TOOLS = {
    **AGENTS,
    **{key: {f"{agent}__{tool}" for agent, tools in AGENTS.items() for tool in tools} for key in BRIDGES},
}
SERVERS = {**{agent: f"/mcp/{agent}" for agent in AGENTS}, **BRIDGES}
# The first text that is drawn waits for tables of all characters.
patiently = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@cache
def router(place: str = "knative") -> Router:
    return Router(document(all_functions(), PLACES[place], issuer=ISSUER))


def declared() -> list[tuple[str, str, str]]:
    """Methods, paths and what serves them."""
    found = []
    for name, spec in SPECS.items():
        if isinstance(spec.trigger, WebSocket):
            found.append(("GET", spec.trigger.path, name))
        else:
            found.append((spec.http.method, spec.http.path, name))
    found += [("GET", probe, "system-get-health") for probe in PROBES]
    found += [(method, path, name) for name, path in SERVERS.items() for method in MCP_METHODS if method != "OPTIONS"]
    return found


@cache
def served() -> Routes[str]:
    """The same table as the one that serves on one machine."""
    table: Routes[str] = Routes()
    for route in declared():
        table.add(*route)
    return table


def expected(method: str, path: str, headers: Mapping[str, str]) -> dict[str, Any]:
    sent = {name.lower(): value for name, value in headers.items()}
    asked = "GET" if method == "HEAD" else method
    try:
        name, _ = served().match(asked, path)
        if method == "HEAD" and name in SPECS and isinstance(SPECS[name].trigger, WebSocket):
            raise MethodNotAllowed("", allow=["GET"])
    except MethodNotAllowed as refusal:
        said = refusal.details["allow"]
        assert isinstance(said, list)
        # Whoever opens a socket sends GET, and nobody asks for its head.
        return {"refused": 405, "allow": {"GET"} if path.strip("/") == "ws" else set(said)}
    except NotFound:
        return {"refused": 404}
    spec = SPECS.get(name)
    scoped = name in TOOLS or (spec is not None and isinstance(spec.trigger, Http) and spec.http.scope is not None)
    named = sent.get("mcp-name", "").lower() in {tool.lower() for tool in TOOLS.get(name, ())}
    return {"service": name, "proven": scoped and not sent.get("x-api-key"), "by_tool": named}


def found(method: str, target: str, headers: Mapping[str, str], place: str = "knative") -> dict[str, Any]:
    match = router(place).match(method, target, headers)
    if match is None:
        return {"refused": 404}
    if match.service is not None:
        by = match.plugins.get("rate-limiting", {}).get("header_name")
        return {"service": match.service, "proven": "jwt" in match.plugins, "by_tool": by == "Mcp-Name"}
    status = match.plugins["request-termination"]["status_code"]
    if status == 404:
        return {"refused": 404}
    added = match.plugins["response-transformer"]["add"]["headers"]
    allow = next(each for each in added if each.startswith("Allow:"))
    return {"refused": status, "allow": set(allow.removeprefix("Allow:").split(", "))}


SEGMENTS = sorted({part for _, path, _ in declared() for part in path.strip("/").split("/") if "{" not in part})
VALUES = st.text(min_size=1, max_size=12).filter(
    lambda text: text not in (".", "..") and _is_sent(text)
) | st.uuids().map(str)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "X-API-Key": st.sampled_from(["sz_1", ""]),
        "Mcp-Name": st.sampled_from(sorted({tool for tools in TOOLS.values() for tool in tools} | {"nothing"})),
        "Authorization": st.just("Bearer x"),
    },
)


def _is_sent(text: str) -> bool:
    """Halves of characters cannot be encoded, and servers refuse NUL before a router sees it."""
    return not any("\ud800" <= character <= "\udfff" or character == "\0" for character in text)


@pytest.mark.parametrize("place", PLACES)
@patiently
@given(data=st.data())
def test_every_declared_route_is_reached_whatever_its_variables_are(place: str, data: st.DataObject) -> None:
    method, path, name = data.draw(st.sampled_from(declared()))
    target = re.sub(r"\{\w+\}", lambda _: quote(data.draw(VALUES), safe=""), path) + data.draw(
        st.sampled_from(["", "/", "?a=/b", "/?x"])
    )
    headers = data.draw(HEADERS)
    path_seen = normalized(target)
    assert path_seen is not None
    wanted = expected(method, path_seen, headers)
    # A value that spells a literal sibling is that sibling, there as here.
    assert wanted.get("service") == name or path != path_seen
    assert found(method, target, headers, place) == wanted


@patiently
@given(
    method=st.sampled_from(METHODS),
    parts=st.lists(st.sampled_from(SEGMENTS) | VALUES.map(lambda text: quote(text, safe="")), max_size=7),
    end=st.sampled_from(["", "/", "//", "/.", "/..", "?q"]),
    headers=HEADERS,
)
def test_any_path_and_method_is_taken_by_exactly_one_route_or_refused_as_it_should_be(
    method: str, parts: list[str], end: str, headers: dict[str, str]
) -> None:
    target = "/" + "/".join(parts) + end
    path = normalized(target)
    assert path is not None
    assert found(method, target, headers) == expected(method, path, headers)


@pytest.mark.parametrize("key", [{}, {"X-API-Key": "sz_x"}], ids=["token", "key"])
@pytest.mark.parametrize("method", METHODS)
def test_every_path_refuses_every_method_that_it_does_not_serve(method: str, key: dict[str, str]) -> None:
    for _, path, _ in declared():
        target = re.sub(r"\{\w+\}", "v", path)
        assert found(method, target, key) == expected(method, target, key), f"{method} {path}"


def test_what_is_described_is_routed_and_the_other_way_round() -> None:
    described = {
        (method.upper(), path)
        for path, methods in openapi(all_functions(), version="1")["paths"].items()
        for method in methods
    }
    routed = set()
    for service in document(all_functions(), KNATIVE, issuer=ISSUER)["services"]:
        for route in service["routes"]:
            routed |= {(method, path) for method in route["methods"] for path in route["paths"] if method != "HEAD"}
    beside = {("GET", "~/ws/?$")}
    beside |= {(method, f"~{path}/?$") for path in SERVERS.values() for method in MCP_METHODS if method != "OPTIONS"}
    pattern = {way: _as_expression(way[1]) for way in described}
    assert {(method, pattern[method, path]) for method, path in described} == routed - beside
    assert beside <= routed


def _as_expression(path: str) -> str:
    return "~" + re.sub(r"\{\w+\}", "[^/]+", path.replace(".", r"\.")) + "/?$"


@pytest.mark.parametrize(
    "target",
    [
        "/api/v1/users/me",
        "/api/v1//users/me",
        "/api/v1/users/./me",
        "/api/v1/tasks/../users/me",
        "/api/v1/users/%6De",
        "/api/v1/users/me?x=/api/v1/tasks",
    ],
)
def test_other_spellings_of_a_path_are_that_path(target: str) -> None:
    assert found("GET", target, {})["service"] == "users-get-me"


@pytest.mark.parametrize(
    "target",
    ["/api/v1/users/me%2F", "/api/v1/usersx", "/api/v1/users/a/b/c", "/", "/api", "/x/api/v1/users/me", "/%FF"],
)
def test_no_route_is_reached_by_a_part_of_its_path(target: str) -> None:
    assert found("GET", target, {}).get("service") in (None, "users-get-user")
    assert found("GET", target, {}).get("service") is None or target.endswith("me%2F")


def test_browsers_may_ask_first_everywhere() -> None:
    for target in ("/api/v1/tasks", "/mcp/filesystem", "/nowhere"):
        match = router().match("OPTIONS", target)
        assert match is not None
        assert (match.route, match.service) == ("preflight", None)
