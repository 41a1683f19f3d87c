"""stack.yml, as faas-cli itself reads it.

It comes from no package registry. It is taken from where SUTAZAI_FAAS_CLI says, or from the PATH, and without it these
tests skip: put its release for this machine there, or build it from its source with `go build`.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from shared.catalog import all_functions
from shared.manifests.deployables import deployables
from shared.manifests.files import ROOT
from tests.manifests.stack_file import Function, loaded, substituted

FUNCTIONS = {each.name: each for each in deployables(all_functions()) if each.kind == "function"}
IN_CONTEXT = ("Dockerfile", "events", "functions", "requirements.lock", "shared", "stack.yml", "ui")
ENVIRON = {"IMAGES": "registry.example.org/sutazai", "TAG": "1.2.3", "SUTAZAI_HOSTS": "*.example.org"}


@pytest.fixture(scope="module")
def faas_cli() -> str:
    found = os.environ.get("SUTAZAI_FAAS_CLI") or shutil.which("faas-cli")
    if found is None:
        pytest.skip("faas-cli is not on the PATH, and SUTAZAI_FAAS_CLI does not say where it is")
    return found


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy to build from, since building writes beside stack.yml. The template stands for that of its store, whose
    function folder a build from a Dockerfile replaces."""
    copy = tmp_path_factory.mktemp("stack")
    for name in IN_CONTEXT:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    template = copy / "template" / "dockerfile"
    template.mkdir(parents=True)
    (template / "template.yml").write_text("language: dockerfile\n")
    return copy


def _run(faas_cli: str, project: Path, *arguments: str) -> str:
    environ = {"PATH": os.environ["PATH"], "HOME": str(project), **ENVIRON}
    command = [faas_cli, *arguments, "-f", "stack.yml"]
    done = subprocess.run(command, cwd=project, env=environ, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _declared() -> dict[str, Function]:
    return loaded(yaml.safe_load(substituted((ROOT / "stack.yml").read_text(), ENVIRON))).functions


def test_it_reads_every_function_as_declared(faas_cli: str, project: Path) -> None:
    objects = list(yaml.safe_load_all(_run(faas_cli, project, "generate", "--api", "openfaas.com/v1")))
    found = {each["metadata"]["name"]: each["spec"] for each in objects if each}
    declared = _declared()
    assert found.keys() == declared.keys() == FUNCTIONS.keys()
    for name, spec in found.items():
        function = declared[name]
        assert spec["image"] == function.image
        assert spec["environment"] == function.environment
        assert spec["labels"] == function.labels
        assert spec["annotations"] == function.annotations
        assert spec["limits"] == function.limits.model_dump()
        assert spec["requests"] == function.requests.model_dump()
        assert spec.get("secrets", []) == function.secrets
        assert spec["readOnlyRootFilesystem"] is True
        assert spec["image"].startswith("registry.example.org/sutazai/") and spec["image"].endswith(":1.2.3")
        assert spec["environment"]["FUNCTION"] == name


def test_it_makes_a_build_context_of_every_function(faas_cli: str, project: Path) -> None:
    said = _run(faas_cli, project, "build", "--shrinkwrap")
    for name in FUNCTIONS:
        assert f"{name} shrink-wrapped to " in said
        context = project / "build" / name
        assert (context / "Dockerfile").read_text() == (ROOT / "Dockerfile").read_text()
        assert (context / "functions" / "__main__.py").is_file()
        assert not (context / "build").exists()
