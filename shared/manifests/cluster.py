"""What everything on a cluster goes by: names, places, settings and secrets."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shared.manifests.deployables import NAMESPACE, Deployable

Object = dict[str, Any]

CONFIG = "sutazai"
BROKER = "sutazai"
FILES_CLAIM = "files"
# On pods that call functions without a gateway between.
CALLS = "sutazai/functions"
# On pods that ask the vector service.
VECTORS = "sutazai/vectors"
SECRETS_DIR = "/run/secrets/sutazai"
FILES_DIR = "/var/lib/sutazai/files"
DISK_DIR = "/var/lib/sutazai/disk"
TMP_DIR = "/tmp"  # noqa: S108 - the one folder of a read-only container that may be written, and its own
USER_ID = 65532

# What a cluster has to be told, and what holds until its overlay says otherwise.
_SETTINGS: Mapping[str, str] = {
    "SUTAZAI_AMQP_PROFILE": "quorum",
    "SUTAZAI_API_URL": "http://kong-kong-proxy.kong.svc.cluster.local",
    # Hundreds of processes share one PostgreSQL.
    "SUTAZAI_DATABASE_CONNECTIONS": "2",
    "SUTAZAI_DEFAULT_TIER": "free",
    "SUTAZAI_FUNCTION_URL": f"http://{{name}}.{NAMESPACE}.svc.cluster.local",
    "SUTAZAI_HOSTS": f"*.{NAMESPACE}.svc.cluster.local",
    "SUTAZAI_ISSUER": "https://sutazai.local",
    "SUTAZAI_ORIGINS": "https://sutazai.local",
    "SUTAZAI_PUBLIC_API_URL": "https://sutazai.local",
    # What stands between a gateway and a function: its own sidecar, and pods.
    "SUTAZAI_TRUSTED_PROXIES": "127.0.0.0/8,10.0.0.0/8",
    "SUTAZAI_UI_ORIGINS": "https://sutazai.local",
    "SUTAZAI_VECTORS_URL": f"http://vectors-serve-vectors.{NAMESPACE}.svc.cluster.local",
    # A replica that holds fewer tasks is joined by others sooner.
    "SUTAZAI_WORKER_TASKS": "8",
}


def settings(listed: Sequence[Deployable]) -> dict[str, str]:
    """Values of variables, those that follow from the declarations among them."""
    counting = (each.scale.max for each in listed if "SUTAZAI_REPLICAS" in each.env)
    return dict(
        sorted(
            {
                **_SETTINGS,
                "SUTAZAI_EVENT_TYPES": " ".join(event_types(listed)),
                "SUTAZAI_REPLICAS": str(max(sum(counting), 1)),
            }.items()
        )
    )


def event_types(listed: Iterable[Deployable]) -> list[str]:
    """Of domain events that somebody consumes."""
    return sorted({wakes.type for each in listed for wakes in each.subscriptions if wakes.agent is None})


def secrets(each: Deployable) -> list[str]:
    """Each is named after the file that it holds, but that there are several keys that sign."""
    keys = ("signing-keys" if key == "signing" else f"{key}.key" for key in each.keys)
    private = (name.replace("_", "-") for name in each.private)
    return sorted([*(f"{store}-url" for store in each.stores), *private, *keys])


def places(each: Deployable, *, secrets_dir: str = SECRETS_DIR) -> dict[str, str]:
    """Variables that say where a container finds what it is given."""
    found = {f"SUTAZAI_{_variable(store)}_URL_FILE": f"{secrets_dir}/{store}-url" for store in each.stores}
    found |= {f"SUTAZAI_{name.upper()}_FILE": f"{secrets_dir}/{name.replace('_', '-')}" for name in each.private}
    if each.family == "ui":
        return {**found, "SUTAZAI_UI_KEY_FILE": f"{secrets_dir}/ui.key"}
    if each.keys:
        found["SUTAZAI_KEYS_DIR"] = secrets_dir
    if each.shares_files:
        found["SUTAZAI_FILES_DIR"] = FILES_DIR
    return {**found, "SUTAZAI_HOME": DISK_DIR if each.disk_gib else f"{TMP_DIR}/sutazai"}


def _variable(store: str) -> str:
    return {"rabbitmq": "AMQP"}.get(store, store.upper())


def labels(each: Deployable) -> dict[str, str]:
    """By these a network's policies know what it may reach."""
    return {
        "app.kubernetes.io/name": each.name,
        "app.kubernetes.io/component": each.group,
        "app.kubernetes.io/part-of": "sutazai",
        **{f"sutazai/{store}": "true" for store in each.stores},
        **({CALLS: "true"} if "SUTAZAI_FUNCTION_URL" in each.env else {}),
        **({VECTORS: "true"} if "SUTAZAI_VECTORS_URL" in each.env else {}),
    }


def made(api: str, kind: str, name: str, *, labels: Mapping[str, str] | None = None, **parts: Any) -> Object:
    """An object of the cluster."""
    tagged = {"labels": dict(labels)} if labels else {}
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, **tagged}, **parts}
