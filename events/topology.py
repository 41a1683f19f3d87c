"""The broker's exchanges, queues and bindings as data: an adapter declares them, manifests render them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

Profile = Literal["classic", "quorum"]
Argument = str | int | bool

AGENTS = "agents"
TASK_QUEUE = "task_queue"
EVENTS = "events"
CONSUMERS = "consumers"
UNROUTED = "agents.unrouted"
DEAD_WAKE_UPS = "task_queue.dead"
DEAD_EVENTS = "events.dead"

# A wake-up that nobody took in an hour has been repeated by many others.
WAKE_UP_TTL_MS = 3_600_000
HIGHEST_PRIORITY = 10
# Longer than any consumer is away; the record still has what a deleted queue held.
_UNUSED_MS = 7 * 24 * 3_600_000
_DELIVERIES = 20


def _nothing() -> Mapping[str, Argument]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """Durable, like everything here."""

    name: str
    type: Literal["topic", "direct", "fanout"]
    arguments: Mapping[str, Argument] = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    name: str
    arguments: Mapping[str, Argument] = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    exchange: str
    queue: str
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    exchanges: tuple[Exchange, ...] = ()
    queues: tuple[Queue, ...] = ()
    bindings: tuple[Binding, ...] = ()


def wake_up_key(agent: str) -> str:
    return f"task.{agent}"


def queue_of(consumer: str) -> str:
    return f"{EVENTS}.{consumer}"


def topology(profile: Profile) -> Topology:
    """What stands whoever consumes: wake-ups, the outside's view of domain events, and what could not be delivered."""
    return Topology(
        exchanges=(
            # A wake-up with no queue to go to is an alarm, not a loss.
            Exchange(name=AGENTS, type="topic", arguments={"alternate-exchange": UNROUTED}),
            Exchange(name=UNROUTED, type="fanout"),
            Exchange(name=DEAD_WAKE_UPS, type="fanout"),
            # By type, for whoever binds a queue of their own: Knative's source, other products.
            Exchange(name=EVENTS, type="topic"),
            # By name, for the platform's consumers: what a queue has lost is carried to that one again.
            Exchange(name=CONSUMERS, type="direct"),
            Exchange(name=DEAD_EVENTS, type="fanout"),
        ),
        queues=(
            Queue(name=TASK_QUEUE, arguments=_task_queue(profile)),
            Queue(name=UNROUTED, arguments=_kind(profile)),
            Queue(name=DEAD_WAKE_UPS, arguments=_kind(profile)),
            Queue(name=DEAD_EVENTS, arguments=_kind(profile)),
        ),
        bindings=(
            Binding(exchange=AGENTS, queue=TASK_QUEUE, key=wake_up_key("*")),
            Binding(exchange=UNROUTED, queue=UNROUTED),
            Binding(exchange=DEAD_WAKE_UPS, queue=DEAD_WAKE_UPS),
            Binding(exchange=DEAD_EVENTS, queue=DEAD_EVENTS),
        ),
    )


def consumer_topology(consumer: str, profile: Profile) -> Topology:
    """The queue of one consumer of domain events; one replica at a time gets its events, in order."""
    limit = {"x-delivery-limit": _DELIVERIES} if profile == "quorum" else {}
    arguments = {
        **_kind(profile),
        **limit,
        "x-single-active-consumer": True,
        "x-dead-letter-exchange": DEAD_EVENTS,
        "x-expires": _UNUSED_MS,
    }
    return Topology(
        queues=(Queue(name=queue_of(consumer), arguments=arguments),),
        bindings=(Binding(exchange=CONSUMERS, queue=queue_of(consumer), key=consumer),),
    )


def outside_topology(name: str, types: Iterable[str], profile: Profile) -> Topology:
    """The queue of one who takes events by their types, and is no consumer that the record knows."""
    limit = {"x-delivery-limit": _DELIVERIES} if profile == "quorum" else {}
    arguments = {**_kind(profile), **limit, "x-dead-letter-exchange": DEAD_EVENTS}
    return Topology(
        queues=(Queue(name=queue_of(name), arguments=arguments),),
        bindings=tuple(Binding(exchange=EVENTS, queue=queue_of(name), key=each) for each in types),
    )


def _kind(profile: Profile) -> dict[str, Argument]:
    return {"x-queue-type": "quorum"} if profile == "quorum" else {}


def _task_queue(profile: Profile) -> dict[str, Argument]:
    # Quorum queues refuse x-max-priority before RabbitMQ 4.3; what is urgent is decided when tasks are claimed.
    priority = {"x-max-priority": HIGHEST_PRIORITY} if profile == "classic" else {}
    return {
        **_kind(profile),
        **priority,
        "x-message-ttl": WAKE_UP_TTL_MS,
        "x-dead-letter-exchange": DEAD_WAKE_UPS,
    }
