"""What is always there: Deployments, and StatefulSets where replicas have disks of their own."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from shared.function import Scale
from shared.manifests.cluster import FILES_CLAIM, SECRETS_DIR, USER_ID, Object, labels, made
from shared.manifests.deployables import PORT, SERVICE_PORT, Deployable
from shared.manifests.pods import pod
from shared.version import VERSION

# Past it replicas are added, where nothing else is declared that a cluster can measure.
_CPU_PERCENT = 70
_QUEUE_METRIC = "sutazai_queue_depth"
_GRACE_S = 60
_FILES_GIB = 100
_MIGRATION = Deployable(
    name="migrate",
    kind="deployment",
    group="migrate",
    family="base",
    extras=("postgres",),
    scale=Scale(min=1, max=1),
    timeout_s=0,
    env=(),
    stores=("postgres",),
    answers=False,
)
MIGRATION_ACCOUNT = _MIGRATION.group
_ADMINISTRATOR = replace(
    _MIGRATION,
    name="administrator",
    group="administrator",
    family="accounts",
    extras=("passwords", "postgres"),
    env=("SUTAZAI_DEFAULT_TIER",),
    keys=("index",),
)
ADMINISTRATOR_ACCOUNT = _ADMINISTRATOR.group
# The Secret with the first administrator's, which nothing else is given.
ADMIN_PASSWORD = "admin-password"  # noqa: S105 - a name


def workload(each: Deployable) -> Iterator[Object]:
    """All objects of one that is no function."""
    yield _stateful(each) if each.kind == "statefulset" else _deployment(each)
    if each.answers:
        yield _service(each.name, each)
    if each.kind == "statefulset":
        # By it each replica has a name of its own.
        yield _service(_replicas(each), each, headless=True)
    if _grows(each):
        yield _autoscaler(each)
    yield _budget(each.name, _selector(each))


def full_strength(each: Deployable) -> Object | None:
    """The patch that adds those who stand by; None where there are none, or an autoscaler counts."""
    if each.kind != "deployment" or _grows(each) or each.scale.max == max(each.scale.min, 1):
        return None
    return made("apps/v1", "Deployment", each.name, spec={"replicas": each.scale.max})


def budget(each: Deployable) -> Object | None:
    """One replica at a time may be moved; None where a function may be at zero anyway."""
    if each.kind != "function" or not each.scale.min:
        return None
    return _budget(each.name, {"serving.knative.dev/service": each.name})


def files_claim() -> Object:
    return made(
        "v1",
        "PersistentVolumeClaim",
        FILES_CLAIM,
        spec={"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": f"{_FILES_GIB}Gi"}}},
    )


def migration() -> Object:
    """A version's own Job: what a Job runs cannot be changed. Until it has ended, functions wait for the record."""
    return _job(_MIGRATION, "migrate")


def administrator() -> Object:
    """Where there is one already it does nothing, so that it may be there again with each version."""
    job = _job(_ADMINISTRATOR, "admin", "admin@example.org", "--password-file", f"{SECRETS_DIR}/{ADMIN_PASSWORD}")
    pod = job["spec"]["template"]["spec"]
    (secrets,) = (volume["projected"]["sources"] for volume in pod["volumes"] if volume["name"] == "secrets")
    secrets.append({"secret": {"name": ADMIN_PASSWORD}})
    return job


def _job(each: Deployable, *args: str) -> Object:
    """Tried again for an hour and more, as it may be there before what it needs."""
    template = _template(each)
    (container,) = template["spec"]["containers"]
    for name in ("ports", "readinessProbe", "livenessProbe"):
        del container[name]
    container["args"] = list(args)
    template["spec"]["restartPolicy"] = "OnFailure"
    return made(
        "batch/v1",
        "Job",
        f"{each.name}-{VERSION.replace('.', '-')}",
        labels=labels(each),
        spec={"backoffLimit": 20, "ttlSecondsAfterFinished": 3600, "template": template},
    )


def _selector(each: Deployable) -> dict[str, str]:
    return {"app.kubernetes.io/name": each.name}


def _grows(each: Deployable) -> bool:
    """What nobody calls has nothing to grow with."""
    return each.answers and each.scale.max > max(each.scale.min, 1)


def _template(each: Deployable) -> dict[str, Any]:
    started = pod(each)
    (container,) = started["containers"]
    # A node that has the tag already would start whatever it stood for then; Knative looks up the digest by itself.
    container["imagePullPolicy"] = "Always"
    return {
        "metadata": {"labels": labels(each)},
        "spec": {
            **started,
            "terminationGracePeriodSeconds": _GRACE_S,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER_ID,
                "runAsGroup": USER_ID,
                "fsGroup": USER_ID,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        },
    }


def _deployment(each: Deployable) -> Object:
    # Two that are counted by nobody must not be counted twice.
    replicas = {} if _grows(each) else {"replicas": max(each.scale.min, 1)}
    return made(
        "apps/v1",
        "Deployment",
        each.name,
        labels=labels(each),
        spec={**replicas, "selector": {"matchLabels": _selector(each)}, "template": _template(each)},
    )


def _stateful(each: Deployable) -> Object:
    claim = {
        "metadata": {"name": "disk"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": f"{each.disk_gib}Gi"}},
        },
    }
    replicas = {} if _grows(each) else {"replicas": max(each.scale.min, 1)}
    return made(
        "apps/v1",
        "StatefulSet",
        each.name,
        labels=labels(each),
        spec={
            **replicas,
            "serviceName": _replicas(each),
            # They come from snapshots and do not wait for one another.
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": _selector(each)},
            "template": _template(each),
            "volumeClaimTemplates": [claim],
        },
    )


def _replicas(each: Deployable) -> str:
    return f"{each.name}-replicas"


def _service(name: str, each: Deployable, *, headless: bool = False) -> Object:
    ports = [{"name": "http", "port": SERVICE_PORT, "targetPort": PORT}]
    none = {"clusterIP": "None"} if headless else {}
    return made("v1", "Service", name, labels=labels(each), spec={**none, "selector": _selector(each), "ports": ports})


def _autoscaler(each: Deployable) -> Object:
    kind = "StatefulSet" if each.kind == "statefulset" else "Deployment"
    return made(
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        each.name,
        labels=labels(each),
        spec={
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": kind, "name": each.name},
            "minReplicas": max(each.scale.min, 1),
            "maxReplicas": each.scale.max,
            "metrics": [_metric(each)],
        },
    )


def _metric(each: Deployable) -> dict[str, Any]:
    if each.scale.metric == "queue":
        target = {"type": "AverageValue", "averageValue": str(each.scale.target)}
        return {"type": "Pods", "pods": {"metric": {"name": _QUEUE_METRIC}, "target": target}}
    # Requests at once are nothing that an autoscaler of Kubernetes knows.
    percent = each.scale.target if each.scale.metric == "cpu" else _CPU_PERCENT
    share = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": "cpu", "target": share}}


def _budget(name: str, selector: dict[str, str]) -> Object:
    return made(
        "policy/v1",
        "PodDisruptionBudget",
        name,
        spec={"maxUnavailable": 1, "selector": {"matchLabels": selector}},
    )
