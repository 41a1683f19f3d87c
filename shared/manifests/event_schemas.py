"""The data of every type of event as JSON Schema, one file per type."""

import importlib
import pkgutil
from typing import Any

import events
from events.base import Event


def event_types() -> dict[str, type[Event]]:
    """By `type`, in order. Raises ValueError where two events share one."""
    found: dict[str, type[Event]] = {}
    for module in pkgutil.iter_modules(events.__path__):
        for value in vars(importlib.import_module(f"events.{module.name}")).values():
            declares = isinstance(value, type) and issubclass(value, Event) and "type" in vars(value)
            if declares and found.setdefault(value.type, value) is not value:
                raise ValueError(f"{value.type!r} is written twice")
    return dict(sorted(found.items()))


def event_schemas() -> dict[str, dict[str, Any]]:
    """By path from the project's root."""
    return {
        f"events/schemas/{name}.json": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": name,
            **event.model_json_schema(),
        }
        for name, event in event_types().items()
    }
