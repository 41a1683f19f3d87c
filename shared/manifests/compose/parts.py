"""What all containers of a composition share."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Service = dict[str, Any]

NETWORK = "sutazai"
SUBNET = "172.20.0.0/16"
GATEWAY = "172.20.0.1"
DOMAIN = "sutazai.local"
# Only this machine reaches what is published, unless its operator says otherwise.
_BIND = "${SUTAZAI_BIND:-127.0.0.1}"
# Where `python -m functions compose` puts what the containers are told.
SECRETS = "${SUTAZAI_SECRETS:-../.sutazai/compose}"


def service(
    image: str,
    address: int,
    *,
    names: Sequence[str],
    memory: str,
    cpus: str,
    health: Sequence[str],
    ports: Mapping[int, int] | None = None,
    secrets: Iterable[str | tuple[str, str]] = (),
    tmp: Iterable[str] = ("/tmp",),  # noqa: S108 - in a container that nobody shares
    **more: Any,
) -> Service:
    """Restricted as far as it bears. `names`: under the platform's domain, and as they are. `ports`: published, and
    within. `secrets`: by name, or by name and the file that they are within."""
    hosts = [alias for name in names for alias in (name, f"{name}.{DOMAIN}")]
    return {
        "image": image,
        "restart": "unless-stopped",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "pids_limit": 1024,
        **more,
        "tmpfs": [f"{folder}:size=256m,mode=1777,nosuid,nodev" for folder in tmp],
        **({"secrets": list(map(_secret, secrets))} if secrets else {}),
        **({"ports": [f"{_BIND}:{outside}:{inside}" for outside, inside in ports.items()]} if ports else {}),
        "networks": {NETWORK: {"ipv4_address": f"172.20.0.{address}", "aliases": hosts}},
        "healthcheck": {"test": list(health), "interval": "10s", "timeout": "5s", "retries": 6, "start_period": "30s"},
        "deploy": {"resources": {"limits": {"cpus": cpus, "memory": memory}}},
        "logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}},
    }


def after(*healthy: str, done: Iterable[str] = ()) -> dict[str, dict[str, str]]:
    """Others that have to answer, or to have ended well, before."""
    return {
        **{name: {"condition": "service_completed_successfully"} for name in done},
        **{name: {"condition": "service_healthy"} for name in healthy},
    }


def _secret(named: str | tuple[str, str]) -> str | dict[str, str]:
    return named if isinstance(named, str) else {"source": named[0], "target": named[1]}
