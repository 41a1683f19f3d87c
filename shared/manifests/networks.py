"""Who may speak to whom: nobody, but for what stands here."""

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from shared.manifests.cluster import BROKER, CALLS, VECTORS, Object, made
from shared.manifests.deployables import PORT, Deployable
from shared.stores.egress.addresses import refused_networks
from shared.stores.egress.gate import PORTS

_API, _KIND = "networking.k8s.io/v1", "NetworkPolicy"
# Of the agents that ask peers whom their callers name, those that may, and the packages of functions. The ledger of the
# agent `everything` counts effects in tests, and has no business outside.
_OUTWARD = frozenset(
    {
        *("context7", "ddg", "github", "github-project-manager", "gitmcp-anthropic", "gitmcp-docs", "http-fetch"),
        "playwright",
    }
)
# Servers and clients of MCP that users add, and callbacks. Models of embeddings elsewhere are their operator's choice,
# and so is the policy that lets the vector service reach them.
_OUTWARD_GROUPS = frozenset({"mcp-servers", "oauth", "webhooks"})
_STORE_PORTS = {
    "chroma": (8000,),
    "neo4j": (7687,),
    "postgres": (5432,),
    "qdrant": (6333, 6334),
    "rabbitmq": (5671, 5672),
    "redis": (6379,),
    "s3": (443, 9000),
}
_DNS = ({"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53})
# A sidecar's doors for requests, with and without TLS, and for the autoscaler.
_SIDECAR_PORTS = (8012, 8112, 9090)
# Of Knative's gateway, for those inside.
_GATEWAY_PORTS = (8081, 8444)
_BROKER_ROLE = "eventing.knative.dev/brokerRole"
_SOURCE = {"eventing.knative.dev/source": "rabbitmq-source-controller"}
_FUNCTION = "serving.knative.dev/service"


def policies(listed: Sequence[Deployable]) -> list[Object]:
    return [
        _policy("default-deny", {}, ingress=[], egress=[]),
        _policy("names", {}, egress=[{"to": [_namespace("kube-system")], "ports": list(_DNS)}]),
        *_stores(listed),
        *_functions(),
        *_always_on(listed),
        *_events(listed),
        *_outward(listed),
    ]


def _policy(name: str, selector: Object, **rules: list[Any]) -> Object:
    """`ingress` and `egress`: without rules, nothing of the kind passes; left out, it says nothing about it."""
    return made(
        _API,
        _KIND,
        name,
        spec={"podSelector": selector, "policyTypes": [rule.capitalize() for rule in rules], **rules},
    )


def _stores(listed: Iterable[Deployable]) -> Iterator[Object]:
    """Stores are where the namespaces are labelled so: their own, or this one."""
    there = {"namespaceSelector": {"matchLabels": {"sutazai/stores": "true"}}}
    for store in sorted({store for each in listed for store in each.stores}):
        rule = {"to": [there], "ports": _tcp(_STORE_PORTS[store])}
        yield _policy(f"to-{store}", {"matchLabels": {f"sutazai/{store}": "true"}}, egress=[rule])


def _functions() -> Iterator[Object]:
    """Their requests come through Knative's gateway or activator, and through the sidecar."""
    callers = [_namespace("knative-serving"), _namespace("kourier-system")]
    yield _policy("to-functions", _exists(_FUNCTION), ingress=[{"from": callers, "ports": _tcp(_SIDECAR_PORTS)}])


def _always_on(listed: Iterable[Deployable]) -> Iterator[Object]:
    """What answers beside the functions is called by the gateway, and by whoever carries events."""
    for each in listed:
        if each.kind == "function":
            continue
        if each.disk_gib:
            # It knows nothing of callers: only those who have seen to who asks may ask it.
            asking = {"matchLabels": {VECTORS: "true"}}
            rule = {"ports": _tcp([PORT])}
            yield _policy(f"to-{each.name}", _named(each), ingress=[{"from": [{"podSelector": asking}], **rule}])
            yield _policy(f"asks-{each.name}", asking, egress=[{"to": [{"podSelector": _named(each)}], **rule}])
        elif each.answers:
            callers = [_namespace("kong")]
            if each.subscriptions:
                callers += [_pods({_BROKER_ROLE: "dispatcher"}), _pods({CALLS: "true"})]
            yield _policy(f"to-{each.name}", _named(each), ingress=[{"from": callers, "ports": _tcp([PORT])}])
    yield _policy(
        "ui-to-gateway",
        {"matchLabels": {"app.kubernetes.io/component": "ui"}},
        egress=[{"to": [_namespace("kong")], "ports": _tcp([8000, 8443])}],
    )


def _events(listed: Sequence[Deployable]) -> Iterator[Object]:
    """The pods that the broker of events starts here: sources put in, its entrance takes, dispatchers hand out."""
    rabbitmq = {"to": [{"namespaceSelector": {"matchLabels": {"sutazai/stores": "true"}}}], "ports": _tcp([5671, 5672])}
    entrance = {"eventing.knative.dev/broker": BROKER, _BROKER_ROLE: "ingress"}
    into = {"to": [_pods(entrance)], "ports": _tcp([8080])}
    yield _policy("events-source", {"matchLabels": _SOURCE}, egress=[rabbitmq, into])
    callers = [_pods(_SOURCE), _pods({_BROKER_ROLE: "dispatcher"}), _namespace("knative-eventing")]
    yield _policy(
        "events-entrance",
        {"matchLabels": entrance},
        ingress=[{"from": callers, "ports": _tcp([8080])}],
        egress=[rabbitmq],
    )
    gateway = {"to": [_namespace("kourier-system")], "ports": _tcp(_GATEWAY_PORTS)}
    beside = [_pods(_named(each)["matchLabels"]) for each in listed if each.kind != "function" and each.subscriptions]
    direct = [{"to": beside, "ports": _tcp([PORT])}] if beside else []
    yield _policy(
        "events-undelivered",
        {"matchLabels": {_BROKER_ROLE: "dispatcher-dlq"}},
        egress=[rabbitmq, gateway],
    )
    yield _policy(
        "events-dispatcher",
        {"matchLabels": {_BROKER_ROLE: "dispatcher"}},
        egress=[rabbitmq, into, gateway, *direct],
    )
    yield _policy("calls", {"matchLabels": {CALLS: "true"}}, egress=[gateway, *direct])


def _outward(listed: Iterable[Deployable]) -> Iterator[Object]:
    """The open internet, and nothing that is anybody's own network."""
    peers = [
        _block("0.0.0.0/0", (net for net in refused_networks() if isinstance(net, IPv4Network))),
        _block("2000::/3", (net for net in refused_networks() if isinstance(net, IPv6Network))),
    ]
    for each in listed:
        if each.leaves and (each.name in _OUTWARD or each.group in _OUTWARD_GROUPS):
            yield _policy(f"{each.name}-outward", _named(each), egress=[{"to": peers, "ports": _tcp(sorted(PORTS))}])


def _block(cidr: str, refused: Iterable[IPv4Network | IPv6Network]) -> Object:
    whole: Any = (IPv4Network if "." in cidr else IPv6Network)(cidr)
    return {"ipBlock": {"cidr": cidr, "except": [str(net) for net in refused if net.subnet_of(whole)]}}


def _named(each: Deployable) -> Object:
    return {"matchLabels": {"app.kubernetes.io/name": each.name}}


def _exists(label: str) -> Object:
    return {"matchExpressions": [{"key": label, "operator": "Exists"}]}


def _namespace(name: str) -> Object:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def _pods(labels: dict[str, str]) -> Object:
    return {"podSelector": {"matchLabels": labels}}


def _tcp(ports: Iterable[int]) -> list[Object]:
    return [{"protocol": "TCP", "port": port} for port in ports]
