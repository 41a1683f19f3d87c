"""Functions and what is always there grow as they were declared."""

import pytest

from shared.catalog import all_functions
from shared.manifests.deployables import deployables
from tests.manifests.rendered import OVERLAYS, Object, knative_services, labels_of_pods, of_kind, overlay

HERE = {each.name: each for each in deployables(all_functions()) if not each.carries}
SCALING = "autoscaling.knative.dev"


@pytest.fixture(params=OVERLAYS)
def objects(request: pytest.FixtureRequest) -> tuple[Object, ...]:
    return overlay(request.param)


def test_scales_are_those_declared(objects: tuple[Object, ...]) -> None:
    prod = objects is overlay("prod")
    for name, service in knative_services(objects).items():
        template = service["spec"]["template"]
        annotations = template["metadata"]["annotations"]
        assert all(isinstance(value, str) for value in annotations.values())
        scale = HERE[name].scale
        lowest, highest = (int(annotations[f"{SCALING}/{bound}-scale"]) for bound in ("min", "max"))
        assert (lowest, highest) == (scale.min if prod else 0, scale.max)
        assert lowest <= highest
        by_cpu = prod and scale.metric == "cpu"
        assert annotations[f"{SCALING}/class"] == f"{'hpa' if by_cpu else 'kpa'}.{SCALING}"
        assert annotations[f"{SCALING}/metric"] == ("cpu" if by_cpu else "concurrency")
        assert int(annotations[f"{SCALING}/target"]) > 0
        # An autoscaler by CPU knows no zero, and has to be told what a share is of.
        assert not by_cpu or (lowest > 0 and "cpu" in template["spec"]["containers"][0]["resources"]["requests"])
        assert 0 <= template["spec"]["containerConcurrency"] <= 1000
        assert HERE[name].timeout_s == template["spec"]["timeoutSeconds"] <= 600


def test_the_busiest_are_always_there_in_production() -> None:
    services = knative_services(overlay("prod"))
    for name in ("auth-login", "auth-refresh", "registry-execute-task", "tasks-get-task"):
        annotations = services[name]["spec"]["template"]["metadata"]["annotations"]
        wanted = {"class": f"hpa.{SCALING}", "metric": "cpu", "target": "70", "min-scale": "2", "max-scale": "10"}
        assert {name: annotations[f"{SCALING}/{name}"] for name in wanted} == wanted
    assert of_kind(overlay("prod"), "apps/v1", "Deployment")["keeper-keep"]["spec"]["replicas"] == 2


def test_autoscalers_and_budgets_are_of_something(objects: tuple[Object, ...]) -> None:
    for scaler in of_kind(objects, "autoscaling/v2", "HorizontalPodAutoscaler").values():
        spec = scaler["spec"]
        reference = spec["scaleTargetRef"]
        target = of_kind(objects, reference["apiVersion"], reference["kind"])[reference["name"]]
        # Whoever is counted by an autoscaler is not counted by the one who applies this.
        assert "replicas" not in target["spec"]
        assert 1 <= spec["minReplicas"] <= spec["maxReplicas"]
    pods = labels_of_pods(objects)
    for each in of_kind(objects, "policy/v1", "PodDisruptionBudget").values():
        selector = each["spec"]["selector"]["matchLabels"]
        assert each["metadata"]["name"] == "rabbitmq" or any(selector.items() <= labels.items() for labels in pods)
        assert each["spec"]["maxUnavailable"] == 1
    budgets = of_kind(objects, "policy/v1", "PodDisruptionBudget")
    always = {name for name, each in HERE.items() if each.kind != "function"}
    assert always <= budgets.keys()
