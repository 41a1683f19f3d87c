"""The one container of a pod, restricted as far as Kubernetes can."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.manifests.cluster import (
    CONFIG,
    DISK_DIR,
    FILES_CLAIM,
    FILES_DIR,
    SECRETS_DIR,
    TMP_DIR,
    USER_ID,
    places,
    secrets,
)
from shared.manifests.deployables import PORT, Deployable


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """`request` is what a replica is sure of and CPU targets count from; beyond `memory_mib` it is killed."""

    cpu_milli: int
    cpu_milli_limit: int
    memory_mib: int
    memory_mib_limit: int


_PLAIN = Resources(cpu_milli=100, cpu_milli_limit=1000, memory_mib=96, memory_mib_limit=256)
_BY_FAMILY: Mapping[str, Resources] = {
    # Each hash of a password takes 46 MiB.
    "accounts": Resources(cpu_milli=250, cpu_milli_limit=2000, memory_mib=192, memory_mib_limit=512),
    "realtime": Resources(cpu_milli=200, cpu_milli_limit=1000, memory_mib=192, memory_mib_limit=512),
    "ui": Resources(cpu_milli=200, cpu_milli_limit=1000, memory_mib=256, memory_mib_limit=1024),
}
# Its children run what blocks.
_AGENT = Resources(cpu_milli=200, cpu_milli_limit=2000, memory_mib=192, memory_mib_limit=1024)
_DISK = Resources(cpu_milli=500, cpu_milli_limit=2000, memory_mib=1024, memory_mib_limit=4096)

_RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "runAsUser": USER_ID,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def image(family: str) -> str:
    """An overlay puts a registry and a digest in its place."""
    return f"sutazai/{family}"


def resources(each: Deployable) -> Resources:
    if each.disk_gib:
        return _DISK
    return _AGENT if each.acts else _BY_FAMILY.get(each.family, _PLAIN)


def container(each: Deployable) -> dict[str, Any]:
    return {
        "name": "function",
        "image": image(each.family),
        "args": list(each.args),
        "ports": [{"name": "http1", "containerPort": PORT}],
        "env": _env(each),
        "resources": _resources(each),
        "readinessProbe": _probe(each.ready_path),
        "livenessProbe": {**_probe(each.live_path), "periodSeconds": 10},
        "securityContext": _RESTRICTED,
        "volumeMounts": _mounts(each),
    }


def pod(each: Deployable) -> dict[str, Any]:
    """What both kinds of pods have in common: Knative admits no more."""
    return {
        "serviceAccountName": each.group,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "containers": [container(each)],
        "volumes": _volumes(each),
    }


def _env(each: Deployable) -> list[dict[str, Any]]:
    placed = [{"name": name, "value": value} for name, value in sorted(places(each).items())]
    # What the cluster does not say is as the settings have it.
    told = ({"configMapKeyRef": {"name": CONFIG, "key": name, "optional": True}} for name in each.env)
    return [*placed, *({"name": name, "valueFrom": source} for name, source in zip(each.env, told, strict=True))]


def _resources(each: Deployable) -> dict[str, dict[str, str]]:
    of = resources(each)
    return {
        "requests": {"cpu": f"{of.cpu_milli}m", "memory": f"{of.memory_mib}Mi"},
        "limits": {"cpu": f"{of.cpu_milli_limit}m", "memory": f"{of.memory_mib_limit}Mi"},
    }


def _probe(path: str) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": PORT}, "timeoutSeconds": 5}


def _mounts(each: Deployable) -> list[dict[str, Any]]:
    mounts: list[dict[str, Any]] = [{"name": "tmp", "mountPath": TMP_DIR}]
    if secrets(each):
        mounts.append({"name": "secrets", "mountPath": SECRETS_DIR, "readOnly": True})
    if each.shares_files:
        mounts.append({"name": "files", "mountPath": FILES_DIR})
    if each.disk_gib:
        mounts.append({"name": "disk", "mountPath": DISK_DIR})
    return mounts


def _volumes(each: Deployable) -> list[dict[str, Any]]:
    volumes: list[dict[str, Any]] = [{"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}}]
    if names := secrets(each):
        volumes.append({"name": "secrets", "projected": {"sources": [{"secret": {"name": name}} for name in names]}})
    if each.shares_files:
        volumes.append({"name": "files", "persistentVolumeClaim": {"claimName": FILES_CLAIM}})
    return volumes
