"""What is deployed follows from the declarations, and no image lacks what it needs."""

import dataclasses
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from events.tasks import TaskQueued
from shared.catalog import agents, all_functions, find
from shared.config import Settings
from shared.function import HOT, MARK, Every, OnEvent, Scale, Service, Spec, Tool, WebSocket, service, spec_of
from shared.manifests.deployables import UI, Subscription, deployables
from shared.manifests.files import ROOT
from shared.manifests.images import EXTRAS, FAMILIES, HOST, extras_of, family_of
from shared.manifests.knative import triggers
from shared.manifests.needs import needs_of
from shared.manifests.workloads import workload
from tests.manifests import strict

SPECS = all_functions()
ALL = {each.name: each for each in deployables(SPECS)}

# Fails to import whatever its family's image does not have, and imports what its functions' processes would.
SCRIPT = """
import importlib, importlib.abc, json, sys
allowed, known, modules = json.loads(sys.argv[1])

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in known and top not in allowed:
            raise ModuleNotFoundError(f"the image has no {top}", name=name)

sys.meta_path.insert(0, Missing())
from shared.catalog import load
from shared.config import Settings
from shared.manifests.needs import CLUSTER
from shared.wiring import adapters_of
from shared.serve import App
for module in modules:
    spec = load(module)
    for port in spec.ports.values():
        list(adapters_of(port, CLUSTER))
    App([spec])
"""


def test_there_is_one_for_each_agent_and_each_other_function() -> None:
    alone = {spec.deployed for spec in SPECS if not isinstance(spec.trigger, Tool)}
    assert ALL.keys() == alone | agents(SPECS).keys() | {"ui"}
    single = {each.name for each in deployables(SPECS, per_action=True)}
    assert single == {spec.deployed for spec in SPECS} | agents(SPECS).keys() | {"ui"}


def test_actions_alone_are_woken_as_their_agent_is() -> None:
    single = {each.name: each for each in deployables(SPECS, per_action=True)}
    assert single["everything-echo"].subscriptions == (Subscription(type=TaskQueued.type, agent="everything"),)
    assert single["everything-echo"].args == ("serve", "everything-echo")
    # Its own process runs what callers wait for, and is not woken.
    assert single["everything"].subscriptions == ()
    attributes = {"type": TaskQueued.type, "agent": "everything"}
    (trigger,) = triggers(single["everything-echo"])
    assert trigger["spec"]["filter"] == {"attributes": attributes}
    assert trigger["spec"]["subscriber"]["ref"]["name"] == "everything-echo"
    assert list(triggers(single["everything"])) == []


def test_names_that_collide_or_are_no_labels_are_refused() -> None:
    spec = find("get_task")
    with pytest.raises(ValueError, match="'tasks-get-task'"):
        deployables([spec, spec])
    long = dataclasses.replace(spec, module=f"functions.tasks.{'x' * 64}")
    with pytest.raises((ValueError, FileNotFoundError)):
        deployables([long])


def test_what_is_called_comes_and_goes_and_what_works_by_itself_stays() -> None:
    for spec in SPECS:
        if isinstance(spec.trigger, Every | Service | WebSocket):
            disk = isinstance(spec.trigger, Service) and spec.trigger.disk_gib > 0
            assert ALL[spec.deployed].kind == ("statefulset" if disk else "deployment")
    assert ALL["auth-login"].kind == ALL["http-fetch"].kind == "function"
    # They work on one folder, which neither Knative's functions nor those of OpenFaaS can have.
    assert ALL["filesystem"].kind == ALL["users-erase-user-files"].kind == "deployment"
    assert {name for name, each in ALL.items() if each.shares_files} == {"filesystem", "users-erase-user-files"}


def test_each_gets_the_settings_secrets_and_keys_of_its_ports_and_no_others() -> None:
    login, info, keeper = ALL["auth-login"], ALL["system-get-info"], ALL["keeper-keep"]
    assert login.stores == ("postgres", "redis")
    assert {"index", "refresh", "signing"} == set(login.keys)
    assert "SUTAZAI_FILES_QUOTA_BYTES" not in login.env
    assert (info.stores, info.keys) == (("postgres", "redis"), ()) or (info.stores, info.keys) == ((), ())
    assert keeper.stores == ("postgres", "rabbitmq")
    assert keeper.keys == ("seal",)
    assert "SUTAZAI_EVENT_TYPES" in keeper.env
    assert "SUTAZAI_UI_ORIGINS" in ALL["ui-session-open-ui-session"].env
    # Only who seals the audit trail, or signs in for the UI, can.
    assert {name for name, each in ALL.items() if "seal" in each.keys} == {"keeper-keep", *_upkeep()}
    assert UI.keys == ("ui",)


def _upkeep() -> set[str]:
    """What runs by turns asks for the same adapter."""
    return {spec.deployed for spec in SPECS if isinstance(spec.trigger, Every)}


def test_what_is_needed_are_settings() -> None:
    needed = {setting for spec in SPECS for setting in needs_of([spec]).settings}
    assert needed - {field.name for field in dataclasses.fields(Settings)} == set()
    assert needed >= {"postgres_url", "redis_url", "amqp_url", "keys_dir", "issuer", "trusted_proxies", "replicas"}


def test_scales_of_an_agent_are_those_of_its_actions_together() -> None:
    actions = [spec for spec in SPECS if isinstance(spec.trigger, Tool) and spec.agent == "memory"]
    first = dataclasses.replace(actions[0], scale=Scale(min=1, max=3, target=100))
    second = dataclasses.replace(actions[1], scale=Scale(min=0, max=20, target=40))
    (each,) = (one for one in deployables([first, second]) if one.name == "memory")
    assert each.scale == Scale(min=1, max=20, target=40)
    assert each.concurrency == 40
    assert ALL["auth-login"].scale == HOT
    assert ALL["auth-login"].concurrency == 0


def test_requests_are_given_the_time_that_their_function_has() -> None:
    for spec in SPECS:
        if isinstance(spec.trigger, OnEvent):
            assert ALL[spec.deployed].timeout_s == spec.timeout_s + 5
    assert ALL["memory"].timeout_s == 600
    assert ALL["tasks-stream-task-events"].timeout_s == 600
    assert ALL["realtime-serve-socket"].timeout_s == 3600
    assert ALL["tasks-get-task"].timeout_s == 35


def _service_with_a_disk() -> Spec:
    @service(disk_gib=20, scale=Scale(min=1, max=3, target=1000, metric="queue"))
    async def keep_index() -> None:
        raise NotImplementedError

    mark = getattr(keep_index, MARK)
    assert mark.trigger == Service(disk_gib=20)
    return dataclasses.replace(spec_of(keep_index), module="functions.keeper.keep")


def test_a_service_with_a_disk_is_a_stateful_set_that_grows_with_its_queue() -> None:
    (each,) = (one for one in deployables([_service_with_a_disk()]) if one.name != "ui")
    assert (each.kind, each.disk_gib, each.answers) == ("statefulset", 20, True)
    objects = {one["kind"]: one for one in workload(each)}
    assert objects.keys() == {"StatefulSet", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget"}
    spec = objects["StatefulSet"]["spec"]
    assert spec["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] == "20Gi"
    assert {"name": "disk", "mountPath": "/var/lib/sutazai/disk"} in spec["template"]["spec"]["containers"][0][
        "volumeMounts"
    ]
    scaler = objects["HorizontalPodAutoscaler"]["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (1, 3)
    assert scaler["metrics"] == [
        {
            "type": "Pods",
            "pods": {
                "metric": {"name": "sutazai_queue_depth"},
                "target": {"type": "AverageValue", "averageValue": "1000"},
            },
        }
    ]


def test_its_objects_are_valid() -> None:
    (each,) = (one for one in deployables([_service_with_a_disk()]) if one.name != "ui")
    assert [strict.errors(one) for one in workload(each)] == [[], [], [], [], []]


def test_an_image_has_what_a_function_needs_and_the_first_that_does_is_taken() -> None:
    assert extras_of({"asyncpg", "pydantic"}) == {"postgres"}
    assert family_of(frozenset({"postgres"})) == "base"
    assert family_of(frozenset({"passwords", "postgres"})) == "accounts"
    with pytest.raises(LookupError, match="unheard_of"):
        extras_of({"asyncpg", "unheard_of"})
    with pytest.raises(LookupError, match="ui"):
        family_of(frozenset({"ui", "postgres"}))
    assert {each.family for each in ALL.values()} == FAMILIES.keys()
    assert all(set(each.extras) <= set(each.installed) for each in ALL.values())


@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - {"ui"}))
def test_functions_start_with_what_their_image_has_alone(family: str) -> None:
    allowed = sorted(HOST.union(*(EXTRAS[extra] for extra in FAMILIES[family])))
    known = sorted(HOST.union(*EXTRAS.values()) | {"yaml", "jsonschema", "functions_framework"})
    modules = [spec.module for spec in SPECS if _deployed_as(spec).family == family]
    assert modules
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps([allowed, known, modules])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")


def _deployed_as(spec: Spec) -> Any:
    return ALL[spec.agent if isinstance(spec.trigger, Tool) else spec.deployed]


def test_packages_are_known_by_what_the_project_asks_for() -> None:
    """Whatever a function of ours imports is in some extra: nothing is found at run time first."""
    imported = defaultdict(set)
    for spec in SPECS:
        for package in needs_of([spec]).packages:
            imported[package].add(spec.deployed)
    assert imported.keys() <= HOST.union(*EXTRAS.values())
    assert imported["aio_pika"] >= {"keeper-keep", "connector-connect"}
    assert imported["argon2"] >= {"auth-login", "auth-register"}
    # Where it is named by a string alone.
    assert imported["redis"] >= {"auth-login"}


def test_the_ui_needs_no_more_than_its_image_has() -> None:
    found = set()
    for path in (ROOT / "ui").rglob("*.py"):
        text = path.read_text()
        found |= {package for package in HOST.union(*EXTRAS.values()) if f"import {package}" in text}
        found |= {package for package in HOST.union(*EXTRAS.values()) if f"from {package}" in text}
    assert found <= EXTRAS["ui"] | HOST
    assert Path(ROOT / "ui" / "__main__.py").is_file()
