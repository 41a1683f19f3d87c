"""Components that an overlay can add or exchange."""

import shutil
from pathlib import Path

import pytest
import yaml

from tests.manifests import strict
from tests.manifests.rendered import KNATIVE, Object, kustomized, named, of_kind


@pytest.mark.parametrize("component", ["connector", "rabbitmq-external", "external-secrets", "monitoring"])
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
    if component == "rabbitmq-external":
        references = [each["spec"]["rabbitmqClusterReference"] for each in objects if _refers(each)]
        assert len(references) > 10
        assert all(one == {"connectionSecret": {"name": "rabbitmq-connection"}} for one in references)
    custom = {"external-secrets": "ExternalSecret", "monitoring": "ServiceMonitor"}.get(component)
    assert custom is None or custom in kinds
    # Their operators' schemas are not at hand.
    ours = [each for each in objects if each["kind"] not in ("ExternalSecret", "ServiceMonitor", "PrometheusRule")]
    assert {named(each): found for each in ours if (found := strict.errors(each))} == {}


def _refers(each: Object) -> bool:
    return "rabbitmqClusterReference" in each.get("spec", {})
