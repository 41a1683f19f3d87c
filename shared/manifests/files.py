"""The generated files: written by `python -m functions write`, compared by `check`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shared.catalog import all_functions
from shared.function import Spec
from shared.manifests.asyncapi import asyncapi
from shared.manifests.compose import document as compose
from shared.manifests.deployables import Deployable, deployables
from shared.manifests.event_schemas import event_schemas
from shared.manifests.kong.document import document
from shared.manifests.kong.places import COMPOSE, ISSUER, KNATIVE, OPENFAAS
from shared.manifests.openfaas import others, stack
from shared.manifests.tree import knative

ROOT = Path(__file__).resolve().parents[2]
# All files in these are generated, and so is whatever says so of those under `_MARKED`.
_FOLDERS = ("events/schemas", "knative/base/always-on", "knative/base/functions", "knative/kong")
_MARKED = "knative"
_KONG = {"kong": KNATIVE, "openfaas": OPENFAAS, "compose": COMPOSE}
_NOTE = "# Generated from the declarations by `make manifests`.\n"
_STACK = (
    _NOTE
    + """#
# `faas-cli build -f stack.yml`, `push` and `deploy` read IMAGES (a registry), TAG, OPENFAAS_URL and the settings of
# README.md from the environment. Secrets are named after the file that each holds: `faas-cli secret create
# postgres-url --from-file postgres-url`; `signing-keys` alone holds several, so kubectl makes it. On the community
# edition nothing scales to zero, and at most five replicas of a function run.
#
# Before anything else the database is brought up to date (`python -m functions migrate`, in the image of any family),
# and once, in that of accounts, the first administrator is made (`python -m functions admin ADDRESS`, which reads the
# password). Beside the functions run, as containers of their own (`python -m functions serve NAME`):
"""
)


def rendered(specs: Sequence[Spec] | None = None, *, per_action: bool = False) -> dict[Path, str]:
    """What each generated file should hold, of these functions or of all that there are."""
    specs = all_functions() if specs is None else tuple(specs)
    listed = deployables(specs, per_action=per_action)
    return {
        **{ROOT / path: json.dumps(schema, indent=2) + "\n" for path, schema in event_schemas().items()},
        ROOT / "events/asyncapi.yaml": _yaml([asyncapi(specs)]),
        ROOT / "stack.yml": _stack(listed),
        **{ROOT / "knative" / path: _yaml(objects) for path, objects in knative(specs, listed).items()},
        ROOT / "knative/compose.yaml": _yaml([compose.document(specs)]),
        **{ROOT / f"knative/kong/{name}.yaml": _yaml([document(specs, p, issuer=ISSUER)]) for name, p in _KONG.items()},
    }


def _yaml(documents: Sequence[dict[str, Any]]) -> str:
    from shared.manifests.written import dumped

    return _NOTE + dumped(documents)


def _stack(listed: Sequence[Deployable]) -> str:
    """What cannot be a function stands above what is."""
    reasons = others(listed)
    beside = "".join(f"#   {name}: {reason}\n" for name, reason in reasons)
    return _STACK + beside + _yaml([stack(listed)]).removeprefix(_NOTE)


def differing(*, per_action: bool = False) -> list[Path]:
    """Files that are missing, differ, or are generated no more."""
    return _differing(rendered(per_action=per_action))


def _differing(wanted: Mapping[Path, str]) -> list[Path]:
    there = {path for folder in _FOLDERS for path in (ROOT / folder).glob("*")}
    there |= {path for path in (ROOT / _MARKED).rglob("*.yaml") if path.read_text().startswith(_NOTE)}
    changed = {path for path, text in wanted.items() if not path.exists() or path.read_text() != text}
    return sorted(changed | (there - wanted.keys()))


def write(*, per_action: bool = False) -> list[Path]:
    """Returns what it wrote or removed."""
    wanted = rendered(per_action=per_action)
    changed = _differing(wanted)
    for path in changed:
        if path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path])
        else:
            path.unlink()
    return changed
