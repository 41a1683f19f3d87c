"""Pods of a cluster may do as little as they can."""

import copy
import re
from collections.abc import Iterator

import pytest

from tests.manifests.rendered import (
    OVERLAYS,
    Object,
    knative_services,
    named,
    of_kind,
    overlay,
    planted,
    templates,
)
from tests.manifests.restricted import violations

KNATIVE = "serving.knative.dev/v1"


@pytest.fixture(params=OVERLAYS)
def objects(request: pytest.FixtureRequest) -> tuple[Object, ...]:
    return overlay(request.param)


def test_pods_are_held_to_the_restricted_profile(objects: tuple[Object, ...]) -> None:
    found = {named(each): list(violations(template["spec"])) for each, template in templates(objects)}
    assert {name: what for name, what in found.items() if what} == {}
    (namespace,) = of_kind(objects, "v1", "Namespace").values()
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] in ("baseline", "restricted")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/warn"] == "restricted"


def _ours(objects: tuple[Object, ...]) -> Iterator[tuple[Object, Object]]:
    """Those that checkov knows as pods; Knative looks up what a tag stands for by itself, once for a revision."""
    return ((each, template["spec"]) for each, template in templates(objects) if each["apiVersion"] != KNATIVE)


def test_no_pod_has_a_token_for_the_cluster(objects: tuple[Object, ...]) -> None:
    for each, template in templates(objects):
        assert template["spec"]["automountServiceAccountToken"] is False, named(each)
    for account in of_kind(objects, "v1", "ServiceAccount").values():
        assert account["automountServiceAccountToken"] is False


def test_no_user_of_a_pod_can_be_one_of_its_host(objects: tuple[Object, ...]) -> None:
    for each, template in templates(objects):
        (container,) = template["spec"]["containers"]
        users = {of.get("securityContext", {}).get("runAsUser") for of in (template["spec"], container)} - {None}
        assert users and all(user >= 10_000 for user in users), named(each)


def test_what_is_released_is_named_by_its_digest_and_asked_for_again() -> None:
    for each, pod in _ours(overlay("prod")):
        (container,) = pod["containers"]
        assert container["imagePullPolicy"] == "Always", named(each)
        assert re.fullmatch(r"[a-z0-9.]+/sutazai/[a-z]+@sha256:[0-9a-f]{64}", container["image"]), named(each)
    for service in knative_services(overlay("prod")).values():
        assert "@sha256:" in service["spec"]["template"]["spec"]["containers"][0]["image"]


def test_what_is_tried_out_comes_from_the_node_and_says_why_it_has_no_digest() -> None:
    for each, pod in _ours(overlay("dev")):
        (container,) = pod["containers"]
        assert container.get("imagePullPolicy", "IfNotPresent") == "IfNotPresent", named(each)
        reasons = dict(text.split("=", 1) for text in each["metadata"]["annotations"].values())
        assert reasons.keys() == {"CKV_K8S_15", "CKV_K8S_43"} and all(map(str.strip, reasons.values()))


CONTAINER = ("containers", 0)
LOOSE = {
    "shares the host's network": planted("hostNetwork", value=True),
    "a folder of the host": planted("volumes", value=[{"name": "host", "hostPath": {"path": "/"}}]),
    "privileged": planted(*CONTAINER, "securityContext", "privileged", value=True),
    "escalation": planted(*CONTAINER, "securityContext", "allowPrivilegeEscalation", value=True),
    "a capability kept": planted(*CONTAINER, "securityContext", "capabilities", value={"drop": ["NET_RAW"]}),
    "a capability added": planted(
        *CONTAINER, "securityContext", "capabilities", value={"drop": ["ALL"], "add": ["SYS_ADMIN"]}
    ),
    "perhaps root": planted(*CONTAINER, "securityContext", "runAsNonRoot", value=False),
    "root": planted(*CONTAINER, "securityContext", "runAsUser", value=0),
    "no seccomp": planted(*CONTAINER, "securityContext", "seccompProfile", value={"type": "Unconfined"}),
    "a port of the host": planted(*CONTAINER, "ports", value=[{"containerPort": 8080, "hostPort": 80}]),
    "a sysctl": planted("securityContext", value={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}),
    "a writable image": planted(*CONTAINER, "securityContext", "readOnlyRootFilesystem", value=False),
    "no limits": planted(*CONTAINER, "resources", value={}),
    "any version": planted(*CONTAINER, "image", value="registry.example.org:5000/sutazai/base:latest"),
}


@pytest.mark.parametrize("loose", LOOSE)
def test_a_pod_that_may_more_is_found(loose: str) -> None:
    pod = copy.deepcopy(knative_services(overlay("prod"))["auth-login"]["spec"]["template"]["spec"])
    assert list(violations(pod)) == []
    LOOSE[loose](pod)
    assert list(violations(pod))
