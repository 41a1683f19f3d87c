"""AsyncAPI 3 from the events, the topology, and the functions that consume them."""

from collections.abc import Iterable
from typing import Any

from events.base import Event
from events.tasks import TaskQueued
from events.topology import AGENTS, EVENTS, TASK_QUEUE, topology, wake_up_key
from shared.function import OnEvent, Spec
from shared.manifests.event_schemas import event_types
from shared.version import VERSION

_CONTENT_TYPE = "application/cloudevents+json"
_ENVELOPE = {
    "type": "object",
    "required": ["specversion", "id", "source", "type", "data"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1},
        "source": {"type": "string", "description": "The function that caused it: /functions/<name>."},
        "subject": {"type": "string", "description": "The id of what it is about."},
        "time": {"type": "string", "format": "date-time"},
        "datacontenttype": {"const": "application/json"},
        "agent": {"type": "string"},
        "userid": {"type": "string", "format": "uuid", "description": "Whose it is; absent where it is nobody's."},
        "sequence": {"type": "integer", "description": "Counts the changes of the subject: drop lower ones."},
    },
}


def asyncapi(specs: Iterable[Spec]) -> dict[str, Any]:
    """One channel for wake-ups, one for each type of domain event; one operation for each consumer."""
    consumers = [spec for spec in specs if isinstance(spec.trigger, OnEvent)]
    types = {name: event for name, event in event_types().items() if event is not TaskQueued}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "SutazAI",
            "version": VERSION,
            "description": "CloudEvents 1.0 in structured mode. An event comes at least once; of one subject, those "
            "with a lower `sequence` than one already seen are to be dropped; no other order is promised.",
        },
        "defaultContentType": _CONTENT_TYPE,
        "servers": {
            "rabbitmq": {"host": "{host}:5672", "protocol": "amqp", "variables": {"host": {"default": "rabbitmq"}}}
        },
        "channels": {"wake_ups": _wake_ups(), **{_id(name): _channel(event) for name, event in types.items()}},
        "operations": {
            "wake": _operation("send", "wake_ups", "The keeper says that tasks of an agent can be claimed."),
            "work": _operation("receive", "wake_ups", "An agent claims until nothing is left for it."),
            **{
                f"{_id(name)}_send": _operation("send", _id(name), "The keeper carries it from the record.")
                for name, event in types.items()
                if event.carried
            },
            **{spec.name: _operation("receive", _id(_type(spec)), spec.summary) for spec in consumers},
        },
        "components": {
            "messages": {_id(event.type): _message(event) for event in event_types().values()},
            "schemas": {"CloudEvent": _ENVELOPE},
        },
    }


def _type(spec: Spec) -> str:
    assert isinstance(spec.trigger, OnEvent)
    return spec.trigger.event.type


def _id(type: str) -> str:
    """Names of channels and messages hold no dots."""
    return type.replace(".", "_")


def _wake_ups() -> dict[str, Any]:
    [queue] = [queue for queue in topology("classic").queues if queue.name == TASK_QUEUE]
    return {
        "address": wake_up_key("{agent}"),
        "parameters": {"agent": {"description": "The agent's public name."}},
        "messages": {"wake_up": _reference(TaskQueued.type)},
        "description": f"Queued in {TASK_QUEUE} with {dict(queue.arguments)}. It may come twice, late or never.",
        "bindings": _bindings(AGENTS),
    }


def _channel(event: type[Event]) -> dict[str, Any]:
    return {
        "address": event.type,
        "messages": {"event": _reference(event.type)},
        "bindings": _bindings(EVENTS),
    }


def _bindings(exchange_name: str) -> dict[str, Any]:
    [exchange] = [exchange for exchange in topology("classic").exchanges if exchange.name == exchange_name]
    described = {"name": exchange.name, "type": exchange.type, "durable": True, "autoDelete": False, "vhost": "/"}
    return {"amqp": {"is": "routingKey", "exchange": described, "bindingVersion": "0.3.0"}}


def _operation(action: str, channel: str, summary: str) -> dict[str, Any]:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "summary": summary}


def _reference(type: str) -> dict[str, str]:
    return {"$ref": f"#/components/messages/{_id(type)}"}


def _message(event: type[Event]) -> dict[str, Any]:
    return {
        "name": event.type,
        "summary": (event.__doc__ or "").strip().partition("\n")[0],
        "contentType": _CONTENT_TYPE,
        "payload": {
            "allOf": [
                {"$ref": "#/components/schemas/CloudEvent"},
                {
                    "type": "object",
                    "properties": {
                        "type": {"const": event.type},
                        "data": {"$ref": f"./schemas/{event.type}.json"},
                    },
                },
            ]
        },
    }
