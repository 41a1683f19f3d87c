"""Components that an overlay can add or exchange."""

import shutil
from pathlib import Path

import pytest
import yaml

from tests.manifests import strict
from tests.manifests.rendered import KNATIVE, Object, kustomized, named, of_kind
from tests.manifests.restricted import violations

_NOT_AT_HAND = ("ExternalSecret", "PodMonitor", "PrometheusRule", "ServiceMonitor")


@pytest.mark.parametrize(
    "component", ["administrator", "connector", "rabbitmq-external", "external-secrets", "monitoring"]
)
def test_each_component_can_be_added(component: str, tmp_path: Path) -> None:
    shutil.copytree(KNATIVE, tmp_path / "knative")
    folder = tmp_path / "knative" / "overlays" / "tried"
    folder.mkdir()
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["../../base"],
        "components": [f"../../components/{component}"],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    objects = kustomized(folder)
    kinds = {each["kind"] for each in objects}
    if component == "connector":
        assert "connector-connect" in of_kind(objects, "apps/v1", "Deployment")
        assert {"Trigger", "Broker", "RabbitmqSource", "RabbitmqBrokerConfig"}.isdisjoint(kinds)
        # A queue that nobody takes from would only grow.
        queues = {each["spec"]["name"] for each in of_kind(objects, "rabbitmq.com/v1beta1", "Queue").values()}
        bound = {each["spec"]["destination"] for each in of_kind(objects, "rabbitmq.com/v1beta1", "Binding").values()}
        assert bound == queues and "events.knative" not in queues
        assert of_kind(objects, "v1", "ConfigMap")["sutazai"]["data"]["SUTAZAI_EVENT_TYPES"] == ""
    if component == "administrator":
        (job,) = (
            each for name, each in of_kind(objects, "batch/v1", "Job").items() if name.startswith("administrator")
        )
        pod = job["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert container["args"] == [
            *("admin", "admin@example.org", "--password-file", "/run/secrets/sutazai/admin-password"),
        ]
        assert pod["restartPolicy"] == "OnFailure" and list(violations(pod)) == [
            "function: sutazai/accounts may be anything"
        ]
        assert pod["serviceAccountName"] in of_kind(objects, "v1", "ServiceAccount")
    if component == "monitoring":
        watched = of_kind(objects, "monitoring.coreos.com/v1", "PodMonitor")["queues"]["spec"]["selector"]
        (chosen,) = watched["matchExpressions"]
        always = of_kind(objects, "apps/v1", "Deployment") | of_kind(objects, "apps/v1", "StatefulSet")
        assert set(chosen["values"]) <= always.keys()
    if component == "rabbitmq-external":
        references = [each["spec"]["rabbitmqClusterReference"] for each in objects if _refers(each)]
        assert len(references) > 10
        assert all(one == {"connectionSecret": {"name": "rabbitmq-connection"}} for one in references)
    custom = {"external-secrets": "ExternalSecret", "monitoring": "ServiceMonitor"}.get(component)
    assert custom is None or custom in kinds
    # Their operators' schemas are not at hand.
    ours = [each for each in objects if each["kind"] not in _NOT_AT_HAND]
    assert {named(each): found for each in ours if (found := strict.errors(each))} == {}


def _refers(each: Object) -> bool:
    return "rabbitmqClusterReference" in each.get("spec", {})
