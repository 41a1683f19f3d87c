"""The overlays under checkov, where it is installed: `python -m tests.deploy.scan`.

It is no dependency of ours, as it brings two hundred packages: `pipx install checkov`, or CHECKOV names it. What it
finds is held without it by tests/manifests/test_cluster_pods.py.
"""

import copy
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from tests.manifests.rendered import OVERLAYS, Object, knative_services, overlay
from tests.report import Target, at_least, exactly, report, unsupported

_WITHIN_S = 450


def scanned(checkov: str, file: Path) -> dict[str, Any]:
    """What it has found. Nothing is asked for outside, nor told to anybody."""
    command = [checkov, "--framework", "kubernetes", "--file", str(file), "--output", "json", "--compact"]
    environ = {**os.environ, "BC_SKIP_MAPPING": "TRUE", "LOG_LEVEL": "ERROR"}
    done = subprocess.run([*command, "--skip-download"], capture_output=True, text=True, env=environ, timeout=_WITHIN_S)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def as_deployments(objects: Iterable[Object]) -> list[Object]:
    """It knows no pods of Knative's; in a Deployment it does. Their images are looked up before they start."""
    made = []
    for name, service in knative_services(tuple(objects)).items():
        template = copy.deepcopy(service["spec"]["template"])
        for field in ("containerConcurrency", "timeoutSeconds"):
            template["spec"].pop(field, None)
        template["spec"]["securityContext"] = template["spec"]["containers"][0]["securityContext"]
        metadata = {
            "name": name,
            "namespace": service["metadata"]["namespace"],
            "annotations": {
                "checkov.io/skip1": "CKV_K8S_15=Knative resolves a tag once, for all of a revision's pods",
                "checkov.io/skip2": "CKV_K8S_43=Knative resolves a tag once, for all of a revision's pods",
            },
        }
        made.append(
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"template": template}}
        )
    return made


def told(name: str, found: dict[str, Any]) -> dict[str, Target]:
    """Each failure in a line, and each reason for which a rule is left out, once."""
    for each in found["results"]["failed_checks"]:
        print(f"  {name}: {each['check_id']} {each['resource']}: {each['check_name']}")
    skipped = {
        (each["check_id"], each["check_result"]["suppress_comment"]) for each in found["results"]["skipped_checks"]
    }
    for rule, reason in sorted(skipped):
        print(f"  {name}: {rule} is left out: {reason}")
    summary = found["summary"]
    return {
        f"{name}: checks that failed": exactly(summary["failed"], 0),
        f"{name}: files that it could not read": exactly(summary["parsing_errors"], 0),
        f"{name}: checks that passed": at_least(summary["passed"], 1),
    }


def main() -> int:
    checkov = os.environ.get("CHECKOV") or shutil.which("checkov")
    if checkov is None:
        return unsupported("scan", "checkov is not installed")
    targets: dict[str, Target] = {}
    with tempfile.TemporaryDirectory(prefix="sutazai-scan-") as folder:
        for name in OVERLAYS:
            file = Path(folder) / f"{name}.yaml"
            objects = overlay(name)
            file.write_text(yaml.safe_dump_all([*objects, *as_deployments(objects)]))
            targets |= told(name, scanned(checkov, file))
    return report("scan", targets)


if __name__ == "__main__":
    sys.exit(main())
