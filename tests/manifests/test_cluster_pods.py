"""Pods of a cluster may do as little as they can."""

import copy

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


@pytest.fixture(params=OVERLAYS)
def objects(request: pytest.FixtureRequest) -> tuple[Object, ...]:
    return overlay(request.param)


def test_pods_are_held_to_the_restricted_profile(objects: tuple[Object, ...]) -> None:
    found = {named(each): list(violations(template["spec"])) for each, template in templates(objects)}
    assert {name: what for name, what in found.items() if what} == {}
    (namespace,) = of_kind(objects, "v1", "Namespace").values()
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] in ("baseline", "restricted")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/warn"] == "restricted"


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
