"""What Kong is given follows from the declarations, and holds what a gateway has to hold."""

import copy
import dataclasses
import difflib
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
import yaml

from shared import errors as ours
from shared.catalog import DOCUMENTS, all_functions
from shared.endpoints import result_type
from shared.function import MIB, Http, Spec, Tool, WebSocket
from shared.manifests.deployables import deployables
from shared.manifests.files import ROOT
from shared.manifests.kong import lua
from shared.manifests.kong.document import document
from shared.manifests.kong.places import COMPOSE, ISSUER, KNATIVE, OPENFAAS, Place
from shared.manifests.written import dumped
from shared.streams import Stream
from tests.manifests.kong_schemas import errors

PLACES = {"kong": KNATIVE, "openfaas": OPENFAAS, "compose": COMPOSE}
ROUTED = {spec.deployed: spec for spec in all_functions() if isinstance(spec.trigger, Http | WebSocket)}

Document = dict[str, Any]


@cache
def rendered(place: str = "kong") -> Document:
    """Shared between tests: not to be changed."""
    return document(all_functions(), PLACES[place], issuer=ISSUER)


def services(place: str = "kong") -> dict[str, Document]:
    return {service["name"]: service for service in rendered(place)["services"]}


def plugins(of: Document) -> dict[str, Document]:
    return {each["name"]: each["config"] for each in of.get("plugins", ())}


@pytest.mark.parametrize("name", PLACES)
def test_the_committed_file_is_what_follows_and_kong_takes_it(name: str) -> None:
    written = yaml.safe_load((ROOT / f"knative/kong/{name}.yaml").read_text())
    assert written == rendered(name)
    assert errors(written) == []


def _misspelt(made: Document) -> None:
    made["services"][0]["conect_timeout"] = 1


def _no_plugin(made: Document) -> None:
    made["plugins"].append({"name": "jwtt", "config": {}})


def _wrong_type(made: Document) -> None:
    made["services"][0]["routes"][0]["regex_priority"] = "1"


def _wrong_config(made: Document) -> None:
    next(each for each in made["plugins"] if each["name"] == "rate-limiting")["config"]["policy"] = "elsewhere"


def _old_config(made: Document) -> None:
    next(each for each in made["plugins"] if each["name"] == "rate-limiting")["config"]["redis_host"] = "redis"


def _nameless(made: Document) -> None:
    del made["consumers"][0]["username"]


@pytest.mark.parametrize("break_it", [_misspelt, _no_plugin, _wrong_type, _wrong_config, _old_config, _nameless])
def test_what_kong_would_refuse_is_found(break_it: Callable[[Document], None]) -> None:
    made = copy.deepcopy(rendered())
    break_it(made)
    assert errors(made) != []


@pytest.mark.parametrize("place", PLACES)
def test_bodies_may_be_as_large_as_declared_and_no_larger(place: str) -> None:
    everywhere = plugins(rendered(place))["request-size-limiting"]
    for name, service in services(place).items():
        spec = ROUTED.get(name)
        declared = spec.http.body_limit_bytes if spec and isinstance(spec.trigger, Http) else MIB
        held = plugins(service).get("request-size-limiting", everywhere)
        assert held == {"allowed_payload_size": declared, "size_unit": "bytes"}, name


@pytest.mark.parametrize("place", PLACES)
def test_kong_waits_longer_than_a_function_takes_and_repeats_only_what_reads(place: str) -> None:
    listed = {each.name: each for each in deployables(all_functions())}
    for name, service in services(place).items():
        methods = {method for route in service["routes"] for method in route["methods"]}
        spec = ROUTED.get(name)
        assert service["read_timeout"] >= listed[name].timeout_s * 1000
        assert spec is None or spec.timeout_s == float("inf") or service["read_timeout"] >= spec.timeout_s * 1000
        assert service["retries"] == 0 or methods <= {"GET", "HEAD"}
        assert all(route["preserve_host"] is False and route["strip_path"] is False for route in service["routes"])


def test_what_comes_in_pieces_is_passed_on_as_it_comes() -> None:
    agents = {spec.agent for spec in all_functions() if isinstance(spec.trigger, Tool)}
    streaming = {name for name, spec in ROUTED.items() if _streams(spec)}
    assert streaming
    for name, service in services().items():
        if name in ROUTED or name in agents:
            held_back = {route.get("response_buffering", True) for route in service["routes"]}
            assert held_back == {not (name in streaming or name in agents)}, name


def _streams(spec: Spec) -> bool:
    return isinstance(spec.trigger, WebSocket) or result_type(spec) is Stream


def test_services_are_deployables_where_they_run() -> None:
    listed = {each.name: each for each in deployables(all_functions())}
    for name, service in services("kong").items():
        assert service["url"] == f"http://{name}.sutazai.svc.cluster.local:80"
        assert name in listed
    for name, service in services("openfaas").items():
        beside = f"http://{name}.sutazai.svc.cluster.local:80"
        through = f"http://gateway.openfaas:8080/function/{name}"
        assert service["url"] == (through if listed[name].kind == "function" else beside)


def test_in_compose_the_least_busy_backend_is_asked_and_a_socket_comes_back_to_its_own() -> None:
    upstreams = {each["name"]: each for each in rendered("compose")["upstreams"]}
    assert {name: each["algorithm"] for name, each in upstreams.items()} == {
        "backend": "least-connections",
        "sockets": "consistent-hashing",
    }
    assert upstreams["sockets"]["hash_on"] == "ip"
    for each in upstreams.values():
        assert [target["weight"] for target in each["targets"]] == [3, 2, 1]
    assert services("compose")["realtime-serve-socket"]["url"] == "http://sockets"
    assert services("compose")["tasks-get-task"]["url"] == "http://backend"
    assert services("compose")["filesystem"]["url"] == "http://filesystem:8080"


def test_routes_have_one_name_each() -> None:
    for place in PLACES:
        made = rendered(place)
        names = [route["name"] for service in made["services"] for route in service["routes"]]
        names += [route["name"] for route in made["routes"]]
        assert len(names) == len(set(names))


def test_whoever_is_not_public_proves_itself_by_a_signed_token_or_a_key() -> None:
    for service in rendered()["services"]:
        spec = ROUTED.get(service["name"])
        public = spec is not None and (isinstance(spec.trigger, WebSocket) or spec.http.scope is None)
        for route in service["routes"]:
            proof = plugins(route).get("jwt")
            assert (proof is None) == (public or "X-API-Key" in route.get("headers", {})), route["name"]
            if proof is not None:
                assert proof["key_claim_name"] == "kid"
                assert (proof["header_names"], proof["uri_param_names"], proof["cookie_names"]) == (
                    ["authorization"],
                    [],
                    [],
                )


def test_rates_are_limited_by_address_and_for_calls_of_tools_by_tool() -> None:
    limit = plugins(rendered())["rate-limiting"]
    assert (limit["limit_by"], limit["policy"], limit["hide_client_headers"]) == ("ip", "local", True)
    tools: dict[str, set[str]] = {}
    for spec in all_functions():
        if isinstance(spec.trigger, Tool) and spec.agent != DOCUMENTS:
            tools.setdefault(spec.agent, set()).add(spec.trigger.name)
    for agent, names in tools.items():
        named = [route for route in services()[agent]["routes"] if "Mcp-Name" in route.get("headers", {})]
        assert len(named) == 2
        for route in named:
            assert set(route["headers"]["Mcp-Name"]) == names
            held = plugins(route)["rate-limiting"]
            assert (held["limit_by"], held["header_name"], held["policy"]) == ("header", "Mcp-Name", "local")
            assert held["hide_client_headers"] is True


@pytest.mark.parametrize("place", PLACES)
def test_pages_of_named_origins_may_call_and_no_others(place: str) -> None:
    cors = plugins(rendered(place))["cors"]
    assert cors["credentials"] is True
    assert cors["origins"]
    assert all(re.fullmatch(r"https?://[a-z0-9.:-]+", origin) for origin in cors["origins"])
    assert {"Authorization", "X-API-Key", "Mcp-Name", "Idempotency-Key"} <= set(cors["headers"])


def test_answers_carry_what_keeps_browsers_safe_also_where_a_route_adds_more() -> None:
    everywhere = set(plugins(rendered())["response-transformer"]["add"]["headers"])
    assert "X-Content-Type-Options:nosniff" in everywhere
    assert any(each.startswith("Strict-Transport-Security:") for each in everywhere)
    for route in rendered()["routes"]:
        if added := plugins(route).get("response-transformer"):
            assert everywhere < set(added["add"]["headers"])


def test_every_request_has_an_id_and_is_counted() -> None:
    found = plugins(rendered())
    assert found["correlation-id"] == {"header_name": "X-Request-ID", "generator": "uuid", "echo_downstream": True}
    assert found["prometheus"]["status_code_metrics"] is True


@pytest.mark.parametrize(
    "header", ["X-Consumer-ID", "X-User-Roles", "X-Forwarded-For", "X-Credential-Identifier", "X-Authenticated-Scope"]
)
def test_identity_that_a_client_claims_is_dropped_before_anything_looks_at_it(header: str) -> None:
    (clean,) = plugins(rendered())["pre-function"]["rewrite"]
    assert clean == lua.CLEAN
    # With a bound, headers beyond it would not be seen.
    assert "ngx.req.get_headers(0)" in clean
    prefix = "[-_]".join(re.split("-", header.lower())[:2])
    assert prefix in clean


def test_what_kong_refuses_has_our_codes() -> None:
    (say,) = plugins(rendered())["post-function"]["body_filter"]
    said = {int(status): code for status, code in re.findall(r'\[(\d+)\] = \{ "([A-Z_]+)"', say)}
    known = {(error.status, error.code) for error in _errors(ours.SutazaiError)}
    # 502 is how a gateway says 503; the others are HTTP's own words for what we say with 400 and 413.
    assert {status for status, code in said.items() if (status, code) not in known} == {411, 414, 417, 431, 494, 502}
    assert {400, 401, 404, 405, 413, 429, 500, 502, 503, 504} <= said.keys()
    # It is put together as text: nothing in it may end a string.
    assert not re.findall(r'"[^"\n]*\\[^"\n]*"', "".join(re.findall(r"\{ .* \},", say)))


def _errors(base: type[ours.SutazaiError]) -> Iterator[type[ours.SutazaiError]]:
    yield base
    for each in base.__subclasses__():
        yield from _errors(each)


def _changed(name: str, **changes: Any) -> tuple[Spec, ...]:
    def change(spec: Spec) -> Spec:
        if spec.name != name:
            return spec
        own = {key: value for key, value in changes.items() if key == "timeout_s"}
        trigger = {key: value for key, value in changes.items() if key not in own}
        return dataclasses.replace(spec, trigger=dataclasses.replace(spec.trigger, **trigger), **own)

    return tuple(map(change, all_functions()))


def _difference(specs: tuple[Spec, ...], place: Place = KNATIVE) -> tuple[list[str], list[str]]:
    before, after = (dumped([document(each, place, issuer=ISSUER)]).splitlines() for each in (all_functions(), specs))
    lines = [line for line in difflib.ndiff(before, after) if line[0] in "+-"]
    return [line[2:].strip() for line in lines if line[0] == "-"], [
        line[2:].strip() for line in lines if line[0] == "+"
    ]


def test_another_body_limit_changes_that_and_nothing_else() -> None:
    gone, come = _difference(_changed("login", body_limit_bytes=10 * MIB))
    assert gone == []
    assert come == [
        "plugins:",
        "- name: request-size-limiting",
        "config:",
        f"allowed_payload_size: {10 * MIB}",
        "size_unit: bytes",
    ]


def test_another_timeout_changes_how_long_kong_waits_and_nothing_else() -> None:
    gone, come = _difference(_changed("login", timeout_s=90.0))
    assert [line.partition(":")[0] for line in gone] == ["read_timeout", "write_timeout"]
    assert [line.partition(":")[0] for line in come] == ["read_timeout", "write_timeout"]


def test_a_scope_that_is_taken_away_takes_the_proof_away() -> None:
    gone, come = _difference(_changed("get_me", scope=None))
    assert "- name: jwt" in gone
    assert come == []


def test_a_function_that_is_gone_takes_only_its_own_lines_along() -> None:
    gone, come = _difference(tuple(spec for spec in all_functions() if spec.name != "stream_task_events"))
    assert "- name: tasks-stream-task-events" in gone
    assert come == []


def test_a_path_that_is_declared_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="/info is declared twice"):
        document(_changed("show_docs", path="/info"), KNATIVE, issuer=ISSUER)
