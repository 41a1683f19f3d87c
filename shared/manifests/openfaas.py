"""stack.yml: what is a function, as OpenFaaS deploys it."""

from collections.abc import Iterator, Sequence
from typing import Any

from events.topology import wake_up_key
from shared.function import Scale
from shared.manifests.cluster import places, secrets, settings
from shared.manifests.deployables import Deployable
from shared.manifests.pods import resources
from shared.manifests.written import Quoted
from shared.version import VERSION

# Where the platform mounts them, all in one folder.
_SECRETS_DIR = "/var/openfaas/secrets"
_SCALE = "com.openfaas.scale"
_IDLE = "15m"


def stack(listed: Sequence[Deployable]) -> dict[str, Any]:
    values = settings(listed)
    return {
        "version": "1.0",
        "provider": {"name": "openfaas", "gateway": "${OPENFAAS_URL:-http://127.0.0.1:8080}"},
        "functions": {each.name: _function(each, values) for each in listed if each.kind == "function"},
    }


def others(listed: Sequence[Deployable]) -> Iterator[tuple[str, str]]:
    """What cannot be a function there, and why."""
    for each in listed:
        if each.disk_gib:
            yield each.name, "replicas have disks of their own"
        elif each.shares_files:
            yield each.name, "works on the folder of users' files, and functions have no volumes"
        elif each.kind == "deployment":
            yield each.name, "answers over sockets that stay open" if each.answers else "is always at work"


def _function(each: Deployable, values: dict[str, str]) -> dict[str, Any]:
    of = resources(each)
    return {
        "lang": "dockerfile",
        "handler": ".",
        "image": f"${{IMAGES:-sutazai}}/{each.family}:${{TAG:-{VERSION}}}",
        "build_args": {"EXTRAS": " ".join(each.installed)},
        "environment": _environment(each, values),
        **({"secrets": secrets(each)} if secrets(each) else {}),
        "labels": {**_scale(each), "sutazai.group": each.group},
        "annotations": _annotations(each),
        "requests": {"cpu": f"{of.cpu_milli}m", "memory": f"{of.memory_mib}Mi"},
        "limits": {"cpu": f"{of.cpu_milli_limit}m", "memory": f"{of.memory_mib_limit}Mi"},
        "readonly_root_filesystem": True,
    }


def _environment(each: Deployable, values: dict[str, str]) -> dict[str, str]:
    """Settings are taken from the environment of whoever deploys, those that it lacks from here."""
    timeout = f"{each.timeout_s}s"
    return {
        "FUNCTION": each.name,
        # Of the watchdog, where one stands before it.
        **dict.fromkeys(("read_timeout", "write_timeout", "exec_timeout"), timeout),
        **dict(sorted(places(each, secrets_dir=_SECRETS_DIR).items())),
        **{name: Quoted(f"${{{name}:-{_default(name, values)}}}") for name in each.env},
    }


def _default(name: str, values: dict[str, str]) -> str:
    # Names within Knative's namespace mean nothing there, and how many replicas there are is for its operator to say.
    return "" if name in ("SUTAZAI_HOSTS", "SUTAZAI_REPLICAS") else values.get(name, "")


def _scale(each: Deployable) -> dict[str, str]:
    # A replica's share is counted in thousandths of a core there.
    cpu = each.scale.metric == "cpu"
    target = each.scale.target * resources(each).cpu_milli // 100 if cpu else each.concurrency or Scale().target
    asleep = {f"{_SCALE}.zero": "true", f"{_SCALE}.zero-duration": _IDLE} if each.scale.min == 0 else {}
    return {
        f"{_SCALE}.min": str(max(each.scale.min, 1)),
        f"{_SCALE}.max": str(each.scale.max),
        f"{_SCALE}.target": str(target),
        f"{_SCALE}.type": "cpu" if cpu else "capacity",
        **(asleep or {f"{_SCALE}.zero": "false"}),
    }


def _annotations(each: Deployable) -> dict[str, str]:
    topics = [wake_up_key(wakes.agent) if wakes.agent else wakes.type for wakes in each.subscriptions]
    return {
        **({"topic": ",".join(topics)} if topics else {}),
        "com.openfaas.health.http.path": each.live_path,
        "com.openfaas.ready.http.path": each.ready_path,
    }
