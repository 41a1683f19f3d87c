"""The broker's topology as objects of RabbitMQ's topology operator, one profile for all of a cluster."""

from collections.abc import Iterable, Iterator
from typing import Any

from events.topology import EVENTS, Binding, Exchange, Profile, Queue, Topology, outside_topology, topology
from shared.function import OnEvent, Spec

_API = "rabbitmq.com/v1beta1"
_CLUSTER = "rabbitmq"
# Whose queue holds the events that Triggers wait for.
KNATIVE = "knative"


def topology_objects(specs: Iterable[Spec], *, profile: Profile = "quorum") -> list[dict[str, Any]]:
    """Exchange, Queue and Binding objects; on a cluster what holds messages is replicated.

    The queues of single consumers are not among them: the connector declares those, where it carries events.
    """
    events = (spec.trigger.event for spec in specs if isinstance(spec.trigger, OnEvent))
    types = sorted({event.type for event in events if event.carried})
    parts = (topology(profile), outside_topology(KNATIVE, types, profile))
    return [each for part in parts for each in _objects(part)]


def _objects(part: Topology) -> Iterator[dict[str, Any]]:
    for exchange in part.exchanges:
        yield _object("Exchange", exchange.name, _exchange(exchange))
    for queue in part.queues:
        yield _object("Queue", queue.name, _queue(queue))
    for binding in part.bindings:
        key = f"-{binding.key}" if binding.exchange == EVENTS else ""
        yield _object("Binding", f"{binding.exchange}-to-{binding.queue}{key}", _binding(binding))


def _object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    label = name.replace(".", "-").replace("_", "-").replace("*", "all")
    cluster = {"rabbitmqClusterReference": {"name": _CLUSTER}}
    return {"apiVersion": _API, "kind": kind, "metadata": {"name": label}, "spec": {**spec, **cluster}}


def _exchange(exchange: Exchange) -> dict[str, Any]:
    arguments = {"arguments": dict(exchange.arguments)} if exchange.arguments else {}
    return {"name": exchange.name, "type": exchange.type, "durable": True, "autoDelete": False, **arguments}


def _queue(queue: Queue) -> dict[str, Any]:
    # The operator takes the type beside the arguments and refuses it among them.
    arguments = {name: value for name, value in queue.arguments.items() if name != "x-queue-type"}
    kind = str(queue.arguments.get("x-queue-type", "classic"))
    return {
        "name": queue.name,
        "type": kind,
        "durable": True,
        "autoDelete": False,
        **({"arguments": arguments} if arguments else {}),
    }


def _binding(binding: Binding) -> dict[str, Any]:
    return {
        "source": binding.exchange,
        "destination": binding.queue,
        "destinationType": "queue",
        **({"routingKey": binding.key} if binding.key else {}),
    }
