"""Nobody speaks to anybody on a cluster, but for what policies admit."""

from collections.abc import Iterator
from ipaddress import ip_address, ip_network

import pytest

from shared.catalog import all_functions
from shared.manifests.deployables import deployables
from shared.stores.egress.addresses import parsed, refusal
from tests.manifests.rendered import OVERLAYS, Object, labels_of_pods, of_kind, overlay, templates

ALL = {each.name: each for each in deployables(all_functions())}
HERE = {name: each for name, each in ALL.items() if not each.carries}
# Of the operators, and of those who make the objects here into others.
ELSEWHERE = {
    *("kong", "knative-eventing", "knative-serving", "kourier-system", "kube-system", "monitoring", "rabbitmq-system"),
}


@pytest.fixture(params=OVERLAYS)
def objects(request: pytest.FixtureRequest) -> tuple[Object, ...]:
    return overlay(request.param)


def _policies(objects: tuple[Object, ...]) -> dict[str, Object]:
    return {name: each["spec"] for name, each in of_kind(objects, "networking.k8s.io/v1", "NetworkPolicy").items()}


def _selects(selector: Object, labels: dict[str, str]) -> bool:
    exists = (one["key"] in labels for one in selector.get("matchExpressions", ()))
    return selector.get("matchLabels", {}).items() <= labels.items() and all(exists)


def test_nothing_passes_that_no_policy_admits(objects: tuple[Object, ...]) -> None:
    policies = _policies(objects)
    assert policies["default-deny"] == {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [],
        "egress": [],
    }
    for name, spec in policies.items():
        # A rule without peers would admit all of them.
        for direction, peers in (("ingress", "from"), ("egress", "to")):
            open_to_all = [rule for rule in spec.get(direction, ()) if not rule.get(peers)]
            assert not open_to_all or name == "rabbitmq", name
            assert all(rule["ports"] for rule in spec.get(direction, ()))


def test_policies_select_what_is_there(objects: tuple[Object, ...]) -> None:
    pods = [
        *labels_of_pods(objects),
        # Of pods that operators and the broker start.
        {"app.kubernetes.io/name": "rabbitmq"},
        {"sutazai/functions": "true"},
        {"eventing.knative.dev/broker": "sutazai", "eventing.knative.dev/brokerRole": "ingress"},
        {"eventing.knative.dev/broker": "sutazai", "eventing.knative.dev/brokerRole": "dispatcher"},
        {"eventing.knative.dev/broker": "sutazai", "eventing.knative.dev/brokerRole": "dispatcher-dlq"},
        {"eventing.knative.dev/source": "rabbitmq-source-controller"},
    ]
    for name, spec in _policies(objects).items():
        selectors = [spec["podSelector"], *(peer["podSelector"] for peer in _peers(spec) if "podSelector" in peer)]
        for selector in selectors:
            assert any(_selects(selector, labels) for labels in pods), (name, selector)
        spaces = [peer["namespaceSelector"] for peer in _peers(spec) if "namespaceSelector" in peer]
        for space in spaces:
            names = {space.get("matchLabels", {}).get("kubernetes.io/metadata.name")} - {None}
            names |= {value for one in space.get("matchExpressions", ()) for value in one["values"]}
            assert names <= ELSEWHERE, name
            assert names or space["matchLabels"] == {"sutazai/stores": "true"}
    (namespace,) = of_kind(objects, "v1", "Namespace").values()
    assert namespace["metadata"]["labels"]["sutazai/stores"] == "true"


def _peers(spec: Object) -> Iterator[Object]:
    for rule in (*spec.get("ingress", ()), *spec.get("egress", ())):
        yield from rule.get("from", rule.get("to", ()))


def test_functions_are_reached_through_knative_and_by_nobody_else(objects: tuple[Object, ...]) -> None:
    labels = {"serving.knative.dev/service": "auth-login", "app.kubernetes.io/name": "auth-login"}
    rules = [
        rule
        for spec in _policies(objects).values()
        if "Ingress" in spec["policyTypes"] and _selects(spec["podSelector"], labels)
        for rule in spec["ingress"]
    ]
    (rule,) = rules
    callers = {peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for peer in rule["from"]}
    assert callers == {"knative-serving", "kourier-system"}
    assert {port["port"] for port in rule["ports"]} == {8012, 8112, 9090}


def test_the_vector_service_is_reached_by_those_who_ask_it_and_by_nobody_else(objects: tuple[Object, ...]) -> None:
    policies = _policies(objects)
    labels = {"app.kubernetes.io/name": "vectors-serve-vectors"}
    (rule,) = (
        rule
        for spec in policies.values()
        if "Ingress" in spec["policyTypes"] and _selects(spec["podSelector"], labels)
        for rule in spec["ingress"]
    )
    (peer,) = rule["from"]
    assert [port["port"] for port in rule["ports"]] == [8080]
    for each, template in templates(objects):
        if deployable := ALL.get(each["metadata"]["name"]):
            found = template["metadata"]["labels"]
            asks = "SUTAZAI_VECTORS_URL" in deployable.env
            assert _selects(peer["podSelector"], found) is asks, deployable.name
            leaves = policies["asks-vectors-serve-vectors"]
            assert _selects(leaves["podSelector"], found) is asks
    assert {peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"] for peer in _peers(leaves)} == {
        "vectors-serve-vectors"
    }
    assert "SUTAZAI_VECTORS_URL" in ALL["vectors-search-vectors"].env


def test_only_those_named_may_leave_and_never_to_private_networks(objects: tuple[Object, ...]) -> None:
    leaving = {}
    for name, spec in _policies(objects).items():
        blocks = [peer["ipBlock"] for peer in _peers(spec) if "ipBlock" in peer]
        if blocks:
            leaving[spec["podSelector"]["matchLabels"]["app.kubernetes.io/name"]] = blocks
            assert name.endswith("-outward")
    asking = {name for name, each in HERE.items() if each.leaves}
    # Where models of embeddings are is for an operator to say, who knows whether that is outside at all.
    assert leaving.keys() == asking - {"everything", "vectors-serve-vectors"}
    assert {"http-fetch"} <= leaving.keys()
    for blocks in leaving.values():
        assert {block["cidr"] for block in blocks} == {"0.0.0.0/0", "2000::/3"}
        for text in ("10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "127.0.0.1", "100.64.0.1", "fd00::1"):
            assert not any(_admits(block, text) for block in blocks), text
        for text in ("1.1.1.1", "2606:4700::1111"):
            address = parsed(text)
            assert address is not None and refusal(address) is None
            assert any(_admits(block, text) for block in blocks), text


def _admits(block: Object, text: str) -> bool:
    address = ip_address(text)
    within = [ip_network(net) for net in (block["cidr"], *block["except"])]
    return address in within[0] and not any(address in net for net in within[1:])


def test_whoever_has_a_store_may_reach_it(objects: tuple[Object, ...]) -> None:
    policies = _policies(objects)
    for each, template in templates(objects):
        if deployable := ALL.get(each["metadata"]["name"]):
            labels = template["metadata"]["labels"]
            reached = {
                name.removeprefix("to-")
                for name, spec in policies.items()
                if name
                in {f"to-{store}" for store in ("chroma", "neo4j", "postgres", "qdrant", "rabbitmq", "redis", "s3")}
                and _selects(spec["podSelector"], labels)
            }
            assert reached == set(deployable.stores), deployable.name
