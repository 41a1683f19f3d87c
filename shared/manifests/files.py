"""The generated files: written by `python -m functions write`, compared by `check`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shared.catalog import all_functions
from shared.manifests.asyncapi import asyncapi
from shared.manifests.broker import topology_objects
from shared.manifests.event_schemas import event_schemas

ROOT = Path(__file__).resolve().parents[2]
_FOLDERS = ("events/schemas", "knative/rabbitmq")
_NOTE = "# Generated from the declarations by `make manifests`.\n"


def rendered() -> dict[Path, str]:
    """What each generated file should hold."""
    specs = all_functions()
    return {
        **{ROOT / path: json.dumps(schema, indent=2) + "\n" for path, schema in event_schemas().items()},
        ROOT / "events/asyncapi.yaml": _yaml([asyncapi(specs)]),
        ROOT / "knative/rabbitmq/topology.yaml": _yaml(topology_objects(specs)),
    }


def _yaml(documents: Sequence[dict[str, Any]]) -> str:
    import yaml

    return _NOTE + yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True, width=120)


def differing() -> list[Path]:
    """Files that are missing, differ, or are generated no more."""
    wanted = rendered()
    there = {path for folder in _FOLDERS for path in (ROOT / folder).glob("*")}
    changed = {path for path, text in wanted.items() if not path.exists() or path.read_text() != text}
    return sorted(changed | (there - wanted.keys()))


def write() -> list[Path]:
    """Returns what it wrote or removed."""
    wanted = rendered()
    changed = differing()
    for path in changed:
        if path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path])
        else:
            path.unlink()
    return changed
