"""The workflows: nothing in them can be exchanged behind our back, and whatever they call is there."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.manifests.files import ROOT
from shared.manifests.images import FAMILIES

FOLDER = ROOT / ".github"
WORKFLOWS = sorted((FOLDER / "workflows").glob("*.yml"))
# Of the events that start a workflow, what they bring along is anybody's text.
_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_PINNED = re.compile(r"uses: [A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+@[0-9a-f]{40} # v\d+\.\d+\.\d+")

Workflow = dict[str, Any]


@cache
def _read(path: Path) -> Workflow:
    found = yaml.safe_load(path.read_text())
    assert isinstance(found, dict)
    # YAML 1.1 reads `on` as a truth.
    return {("on" if name is True else name): value for name, value in found.items()}


def _jobs() -> Iterator[tuple[str, Workflow]]:
    for path in WORKFLOWS:
        for name, job in _read(path)["jobs"].items():
            yield f"{path.stem}/{name}", job


def _steps() -> Iterator[tuple[str, Workflow]]:
    for name, job in _jobs():
        for step in job["steps"]:
            yield f"{name}/{step.get('name') or step.get('uses')}", step


def _commands() -> Iterator[str]:
    return (step["run"] for _, step in _steps() if "run" in step)


def test_there_are_workflows() -> None:
    assert [path.name for path in WORKFLOWS] == ["release.yml", "test.yml"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_action_is_one_commit_and_says_which_version_that_is(path: Path) -> None:
    uses = [line.strip().removeprefix("- ") for line in path.read_text().splitlines() if "uses:" in line]
    assert uses
    assert [line for line in uses if not _PINNED.fullmatch(line)] == []


def test_an_action_has_one_commit_everywhere() -> None:
    found: dict[str, set[str]] = {}
    for path in WORKFLOWS:
        for action, commit in re.findall(r"uses: (\S+)@(\S+ # \S+)", path.read_text()):
            found.setdefault(action, set()).add(commit)
    assert {action: commits for action, commits in found.items() if len(commits) > 1} == {}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_nothing_and_each_job_what_it_says(path: Path) -> None:
    workflow = _read(path)
    assert workflow["permissions"] == {}
    assert set(workflow["on"]) <= {"push", "pull_request", "workflow_dispatch"}
    assert "concurrency" in workflow


def test_only_what_publishes_may_write_and_only_what_signs_gets_an_identity() -> None:
    for name, job in _jobs():
        writes = {what for what, how in job["permissions"].items() if how == "write"}
        assert writes == ({"packages", "id-token"} if name == "release/build" else set()), name
        assert job["timeout-minutes"] <= 90
        assert job["runs-on"] == "ubuntu-24.04"


def test_secrets_go_to_steps_that_need_them_alone() -> None:
    for path in WORKFLOWS:
        workflow = _read(path)
        outside = {**workflow, "jobs": {n: {**job, "steps": []} for n, job in workflow["jobs"].items()}}
        assert "secrets" not in yaml.safe_dump(outside)
    named = {name for path in WORKFLOWS for name in re.findall(r"secrets\.(\w+)", path.read_text())}
    assert named == {"GITHUB_TOKEN", "KUBECONFIG"}
    for name, job in _jobs():
        assert ("KUBECONFIG" in yaml.safe_dump(job)) == (job.get("environment") == "production"), name


def test_no_text_from_outside_becomes_part_of_a_command() -> None:
    commands = list(_commands())
    assert commands
    assert [command for command in commands if _EXPRESSION.search(command)] == []
    everywhere = "".join(path.read_text() for path in WORKFLOWS)
    assert {found.strip() for found in _EXPRESSION.findall(everywhere) if "github.event." in found} == set()


def test_a_checkout_leaves_no_credentials_behind() -> None:
    checkouts = [step for _, step in _steps() if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts
    assert {step["with"]["persist-credentials"] for step in checkouts} == {False}


def test_whatever_is_called_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE)) | {".venv/.base", ".venv/.dev"}
    assert "$(VENV)/.base:" in makefile and "$(VENV)/.dev:" in makefile and "VENV ?= .venv" in makefile
    called = {target for command in _commands() for target in re.findall(r"\bmake (\S+)", command)}
    assert called
    assert called - targets == set()
    files = {
        file
        for command in _commands()
        for file in re.findall(r"(?<![\w/.-])((?:\.ci|\.github|knative)/[\w/.-]+|requirements\.lock)", command)
    }
    assert files >= {".ci/run", ".github/canary.py", "knative/overlays/prod", "knative/kong/kong.yaml"}
    assert [file for file in sorted(files) if not (ROOT / file).exists()] == []
    modules = {module for command in _commands() for module in re.findall(r"python -m ([\w.]+)", command)}
    assert modules == {"functions", "tests.deploy.locks"}
    assert (ROOT / "tests/deploy/locks.py").is_file()


def test_an_image_of_every_family_is_built() -> None:
    build = _read(FOLDER / "workflows/release.yml")["jobs"]["build"]
    assert sorted(build["strategy"]["matrix"]["family"]) == sorted(FAMILIES)


def test_an_image_is_given_only_arguments_that_it_takes() -> None:
    taken = set(re.findall(r"^ARG (\w+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    given = {
        line.partition("=")[0].strip()
        for _, step in _steps()
        for line in step.get("with", {}).get("build-args", "").splitlines()
        if line.strip()
    }
    assert {"LOCK", "EXTRAS", "VERSION"} <= given <= taken


def test_what_is_deployed_was_tested_signed_and_verified() -> None:
    jobs = _read(FOLDER / "workflows/release.yml")["jobs"]
    assert {name: job.get("needs") for name, job in jobs.items()} == {
        "test": None,
        "locks": "test",
        "build": "locks",
        "deploy": "build",
    }
    build, deploy = (yaml.safe_dump(jobs[name]) for name in ("build", "deploy"))
    assert "cosign sign --yes" in build and "cosign attest --yes" in build and "sbom-action" in build
    assert deploy.index("cosign verify") < deploy.index("canary.py")


def test_dependabot_looks_after_all_that_is_pinned() -> None:
    found = yaml.safe_load((FOLDER / "dependabot.yml").read_text())
    assert found["version"] == 2
    assert {(each["package-ecosystem"], each["directory"]) for each in found["updates"]} == {
        ("github-actions", "/"),
        ("pip", "/"),
        ("docker", "/"),
        ("docker-compose", "/knative"),
    }
    assert all(each["cooldown"]["default-days"] >= 7 for each in found["updates"])
