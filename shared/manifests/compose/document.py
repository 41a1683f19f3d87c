"""The composition: knative/compose.yaml."""

from collections.abc import Iterable, Sequence
from typing import Any

from shared.function import Spec
from shared.manifests.compose import ours, stores
from shared.manifests.compose.parts import GATEWAY, NETWORK, SECRETS, SUBNET, Service
from shared.manifests.deployables import deployables


def document(specs: Sequence[Spec]) -> dict[str, Any]:
    listed = deployables(specs)
    services = {**stores.stores(), **ours.ours(listed)}
    return {
        "name": "sutazai",
        "services": services,
        "networks": {
            NETWORK: {"driver": "bridge", "ipam": {"config": [{"subnet": SUBNET, "gateway": GATEWAY}]}},
        },
        "volumes": {**stores.volumes(), **ours.volumes(listed)},
        "secrets": {name: {"file": f"{SECRETS}/{name}"} for name in sorted(_secrets(services.values()))},
    }


def _secrets(services: Iterable[Service]) -> set[str]:
    used = (secret for each in services for secret in each.get("secrets", ()))
    return {secret if isinstance(secret, str) else secret["source"] for secret in used}
