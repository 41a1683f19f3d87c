"""Functions as Knative Services, and the Triggers that wake them."""

from collections.abc import Iterator
from typing import Any

from shared.function import Scale
from shared.manifests.cluster import BROKER, Object, labels, made
from shared.manifests.deployables import Deployable
from shared.manifests.pods import pod

_SERVING = "serving.knative.dev/v1"
_EVENTING = "eventing.knative.dev/v1"
_SCALING = "autoscaling.knative.dev"
# So that a caller who pauses to read does not wait for a start again.
_RETAINED = "1m0s"
# Knative's own bound.
_MOST_AT_ONCE = 1000


def service(each: Deployable) -> Object:
    """By its concurrency, and down to zero: what may not be at zero is said by `always_there`."""
    concurrency = each.concurrency or Scale().target
    annotations = {
        f"{_SCALING}/class": f"kpa.{_SCALING}",
        f"{_SCALING}/metric": "concurrency",
        f"{_SCALING}/target": str(concurrency),
        f"{_SCALING}/min-scale": "0",
        f"{_SCALING}/max-scale": str(each.scale.max),
        f"{_SCALING}/scale-to-zero-pod-retention-period": _RETAINED,
    }
    template = {
        "metadata": {"labels": labels(each), "annotations": annotations},
        "spec": {"containerConcurrency": concurrency, "timeoutSeconds": each.timeout_s, **pod(each)},
    }
    # Only the gateway is open to the world.
    inside = {"networking.knative.dev/visibility": "cluster-local"}
    return made(_SERVING, "Service", each.name, labels={**labels(each), **inside}, spec={"template": template})


def always_there(each: Deployable) -> Object | None:
    """The patch that gives a function the scale it is declared with; None where it may be at zero."""
    if each.kind != "function" or not each.scale.min:
        return None
    annotations = {f"{_SCALING}/min-scale": str(each.scale.min)}
    spec: dict[str, Any] = {}
    if each.scale.metric == "cpu":
        annotations |= {
            f"{_SCALING}/class": f"hpa.{_SCALING}",
            f"{_SCALING}/metric": "cpu",
            f"{_SCALING}/target": str(each.scale.target),
        }
        spec = {"spec": {"containerConcurrency": 0}}
    template = {"metadata": {"annotations": annotations}, **spec}
    return made(_SERVING, "Service", each.name, spec={"template": template})


def triggers(each: Deployable) -> Iterator[Object]:
    """Attributes are matched exactly; a filter of another form would let everything pass."""
    function = each.kind == "function"
    subscriber = {"apiVersion": _SERVING if function else "v1", "kind": "Service", "name": each.name}
    for number, wakes in enumerate(each.subscriptions):
        name = each.name if not number else f"{each.name}-{number}"
        trigger = made(
            _EVENTING,
            "Trigger",
            name,
            spec={
                "broker": BROKER,
                "filter": {"attributes": wakes.attributes},
                "subscriber": {"ref": subscriber},
            },
        )
        trigger["metadata"]["annotations"] = {"rabbitmq.eventing.knative.dev/parallelism": str(_at_once(each))}
        yield trigger


def _at_once(each: Deployable) -> int:
    """A wake-up lasts as long as there is work, and those under way call for replicas; events come one by one."""
    return min(each.scale.max * (each.concurrency or 1), _MOST_AT_ONCE) if each.acts else 1
