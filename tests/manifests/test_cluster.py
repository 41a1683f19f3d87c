"""What `kubectl apply -k knative/overlays/...` would send: every object valid, and every reference answered."""

import copy
import re
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
import yaml

from events.dead_letters import EventUndelivered
from events.tasks import TaskQueued
from shared.catalog import all_functions, served_as
from shared.config import Settings
from shared.function import OnEvent, Tool
from shared.manifests.cluster import SECRETS_DIR, secrets
from shared.manifests.deployables import UI, Deployable, deployables
from shared.version import VERSION
from tests.manifests import strict
from tests.manifests.rendered import (
    KNATIVE,
    OVERLAYS,
    Object,
    knative_services,
    kustomized,
    named,
    of_kind,
    overlay,
    planted,
    templates,
)

SPECS = all_functions()
ALL = {each.name: each for each in deployables(SPECS)}
HERE = {name: each for name, each in ALL.items() if not each.carries}


def _functions() -> Iterator[Deployable]:
    return (each for each in HERE.values() if each.kind == "function")


@pytest.fixture(params=OVERLAYS)
def objects(request: pytest.FixtureRequest) -> tuple[Object, ...]:
    return overlay(request.param)


def test_every_object_is_valid_to_its_last_field(objects: tuple[Object, ...]) -> None:
    assert len(objects) > 100
    assert {named(each): found for each in objects if (found := strict.errors(each))} == {}


POD = ("spec", "template", "spec")
PLANTED = {
    "a misspelt field of Knative": ("Service", planted(*POD, "containerConcurency", value=1)),
    "a field that Knative does not let through": ("Service", planted(*POD, "containers", 0, "stdin", value=True)),
    "a number as text": ("Service", planted(*POD, "timeoutSeconds", value="35")),
    "a filter that is no object": ("Trigger", planted("spec", "filter", "attributes", value=["type"])),
    "a misspelt field of a queue": ("Queue", planted("spec", "autodelete", value=False)),
    "a parallelism beyond the bound": (
        "RabbitmqSource",
        planted("spec", "rabbitmqResourcesConfig", "parallelism", value=1001),
    ),
    "a kind of queue that is none": ("RabbitmqBrokerConfig", planted("spec", "queueType", value="stream")),
    "a field of a Deployment": ("Deployment", planted("spec", "replica", value=1)),
    "a port of a policy": ("NetworkPolicy", planted("spec", "podSelector", value=[])),
    "a metric of an autoscaler": ("HorizontalPodAutoscaler", planted("spec", "metrics", 0, "kind", value="Resource")),
    "a version that is not served": ("Broker", planted("apiVersion", value="eventing.knative.dev/v9")),
}


@pytest.mark.parametrize("what", PLANTED)
def test_an_error_that_is_planted_is_found(what: str) -> None:
    kind, plant = PLANTED[what]
    each = copy.deepcopy(next(each for each in overlay("prod") if each["kind"] == kind and _has_pods_of_knative(each)))
    assert strict.errors(each) == []
    plant(each)
    assert strict.errors(each)


def _has_pods_of_knative(each: Object) -> Any:
    return each["kind"] != "Service" or each["apiVersion"] == "serving.knative.dev/v1"


def test_no_object_is_there_twice_and_all_are_in_the_namespace(objects: tuple[Object, ...]) -> None:
    names = [named(each) for each in objects]
    assert sorted(names) == sorted(set(names))
    assert {each["metadata"].get("namespace") for each in objects if each["kind"] != "Namespace"} == {"sutazai"}


def test_everything_that_is_declared_is_there_and_nothing_else(objects: tuple[Object, ...]) -> None:
    assert knative_services(objects).keys() == {each.name for each in _functions()}
    always = {
        **of_kind(objects, "apps/v1", "Deployment"),
        **of_kind(objects, "apps/v1", "StatefulSet"),
    }.keys()
    stores = {"postgres", "redis"} & always
    assert always - stores == {name for name, each in HERE.items() if each.kind != "function"}
    answering = {name for name, each in HERE.items() if each.kind != "function" and each.answers}
    # By it each replica with a disk has a name.
    answering |= {f"{name}-replicas" for name, each in HERE.items() if each.disk_gib}
    assert of_kind(objects, "v1", "Service").keys() - stores == answering


def test_what_pods_are_started_with_serves_what_they_are_named_after(objects: tuple[Object, ...]) -> None:
    for each, template in templates(objects):
        name = each["metadata"]["name"]
        if name not in ALL:
            continue
        (container,) = template["spec"]["containers"]
        assert container["args"] == ["serve", name]
        if name != UI.name:
            specs = served_as(name)
            assert {spec.deployed for spec in specs} <= {spec.deployed for spec in SPECS}
            assert {name} == ({spec.agent for spec in specs if isinstance(spec.trigger, Tool)} or {specs[0].deployed})


def test_triggers_lead_from_the_broker_to_whoever_is_woken(objects: tuple[Object, ...]) -> None:
    triggers = of_kind(objects, "eventing.knative.dev/v1", "Trigger")
    brokers = of_kind(objects, "eventing.knative.dev/v1", "Broker")
    found = set()
    for trigger in triggers.values():
        assert trigger["spec"]["broker"] in brokers
        # Any other form of filter is ignored, and then everything passes.
        assert trigger["spec"].keys() == {"broker", "filter", "subscriber"}
        assert trigger["spec"]["filter"].keys() == {"attributes"}
        reference = trigger["spec"]["subscriber"]["ref"]
        assert reference["name"] in of_kind(objects, reference["apiVersion"], reference["kind"])
        attributes = trigger["spec"]["filter"]["attributes"]
        found.add((attributes["type"], attributes.get("agent"), reference["name"]))
        assert attributes.keys() <= {"type", "agent"}
        (parallelism,) = trigger["metadata"]["annotations"].values()
        assert 1 <= int(parallelism) <= 1000
        assert "agent" in attributes or parallelism == "1"
    agents = {(TaskQueued.type, spec.agent, spec.agent) for spec in SPECS if isinstance(spec.trigger, Tool)}
    consumers = {
        (spec.trigger.event.type, None, spec.deployed)
        for spec in SPECS
        if isinstance(spec.trigger, OnEvent) and spec.trigger.event.carried
    }
    assert found == agents | consumers
    assert len(triggers) == len(found)


def test_what_the_broker_gives_up_goes_to_who_keeps_it_and_is_tried_again_before(objects: tuple[Object, ...]) -> None:
    (broker,) = of_kind(objects, "eventing.knative.dev/v1", "Broker").values()
    delivery = broker["spec"]["delivery"]
    reference = delivery["deadLetterSink"]["ref"]
    assert reference["name"] in of_kind(objects, reference["apiVersion"], reference["kind"])
    (keeper,) = (spec for spec in SPECS if isinstance(spec.trigger, OnEvent) and not spec.trigger.event.carried)
    assert (reference["name"], keeper.trigger.event) == (keeper.deployed, EventUndelivered)  # type: ignore[union-attr]
    # Of 1, 2, 4, ... seconds: more than an hour.
    assert (delivery["backoffPolicy"], delivery["backoffDelay"]) == ("exponential", "PT1S")
    assert 2 ** delivery["retry"] > 3600
    # A Trigger's own would stand in its place.
    assert all(
        "delivery" not in each["spec"] for each in of_kind(objects, "eventing.knative.dev/v1", "Trigger").values()
    )


def test_sources_take_from_queues_that_are_there_and_give_to_the_broker(objects: tuple[Object, ...]) -> None:
    queues = {each["spec"]["name"] for each in of_kind(objects, "rabbitmq.com/v1beta1", "Queue").values()}
    exchanges = {each["spec"]["name"] for each in of_kind(objects, "rabbitmq.com/v1beta1", "Exchange").values()}
    sources = of_kind(objects, "sources.knative.dev/v1alpha1", "RabbitmqSource")
    assert {each["spec"]["rabbitmqResourcesConfig"]["queueName"] for each in sources.values()} == {
        "events.knative",
        "task_queue",
    }
    for source in sources.values():
        config = source["spec"]["rabbitmqResourcesConfig"]
        assert config["predeclared"] is True
        assert config["queueName"] in queues and config["exchangeName"] in exchanges
        reference = source["spec"]["sink"]["ref"]
        assert reference["name"] in of_kind(objects, reference["apiVersion"], reference["kind"])


def test_every_event_that_somebody_consumes_reaches_the_queue_of_triggers(objects: tuple[Object, ...]) -> None:
    bindings = [each["spec"] for each in of_kind(objects, "rabbitmq.com/v1beta1", "Binding").values()]
    bound = {each["routingKey"] for each in bindings if each["destination"] == "events.knative"}
    triggers = of_kind(objects, "eventing.knative.dev/v1", "Trigger").values()
    wanted = {each["spec"]["filter"]["attributes"]["type"] for each in triggers} - {TaskQueued.type}
    config = of_kind(objects, "v1", "ConfigMap")["sutazai"]["data"]
    assert bound == wanted == set(config["SUTAZAI_EVENT_TYPES"].split())
    keeper = of_kind(objects, "apps/v1", "Deployment")["keeper-keep"]
    env = keeper["spec"]["template"]["spec"]["containers"][0]["env"]
    assert "SUTAZAI_EVENT_TYPES" in {each["name"] for each in env}


def test_everything_of_rabbitmq_refers_to_one_that_is_there(objects: tuple[Object, ...]) -> None:
    clusters = of_kind(objects, "rabbitmq.com/v1beta1", "RabbitmqCluster")
    for each in objects:
        if reference := each.get("spec", {}).get("rabbitmqClusterReference"):
            assert reference["name"] in clusters, named(each)
    (broker,) = of_kind(objects, "eventing.knative.dev/v1", "Broker").values()
    config = broker["spec"]["config"]
    assert config["name"] in of_kind(objects, config["apiVersion"], config["kind"])
    assert broker["metadata"]["annotations"] == {"eventing.knative.dev/broker.class": "RabbitMQBroker"}


def test_settings_are_known_and_what_the_cluster_says_can_be_read(objects: tuple[Object, ...]) -> None:
    data = of_kind(objects, "v1", "ConfigMap")["sutazai"]["data"]
    known = {f"SUTAZAI_{field.name.upper()}" for field in fields(Settings)} | set(UI.env)
    assert data.keys() <= known
    read = Settings.read(data)
    assert read.default_tier == "free"
    assert read.amqp_profile == "quorum"
    assert read.replicas > 1
    assert read.hosts and read.origins and read.ui_origins and read.trusted_proxies and read.event_types
    assert "{name}" in read.function_url
    maps = of_kind(objects, "v1", "ConfigMap")
    for each, template in templates(objects):
        if each["metadata"]["name"] not in ALL:
            continue
        for variable in template["spec"]["containers"][0]["env"]:
            assert variable["name"].removesuffix("_FILE") in known | {"SUTAZAI_UI_KEY"}
            if reference := variable.get("valueFrom", {}).get("configMapKeyRef"):
                assert reference["name"] in maps
                assert reference["key"] == variable["name"]


def test_what_a_pod_is_given_is_what_its_function_needs(objects: tuple[Object, ...]) -> None:
    for each, template in templates(objects):
        if (deployable := ALL.get(each["metadata"]["name"])) is None:
            continue
        env = {one["name"]: one for one in template["spec"]["containers"][0]["env"]}
        assert {name for name, one in env.items() if "valueFrom" in one} == set(deployable.env)
        stores = {f"SUTAZAI_{'AMQP' if store == 'rabbitmq' else store.upper()}_URL_FILE" for store in deployable.stores}
        assert {name for name in env if name.endswith("_URL_FILE")} == stores
        assert _mounted_secrets(template) == set(secrets(deployable))


def _mounted_secrets(template: Object) -> set[str]:
    found = set()
    for volume in template["spec"].get("volumes", ()):
        found |= {source["secret"]["name"] for source in volume.get("projected", {}).get("sources", ())}
        found |= {volume["secret"]["secretName"]} if "secret" in volume else set()
    return found


def test_every_secret_has_a_template_without_a_value_and_files_where_they_are_looked_for(
    objects: tuple[Object, ...],
) -> None:
    templated = {each["metadata"]["name"]: each for each in yaml.safe_load_all((KNATIVE / "secrets.yaml").read_text())}
    assert {value for each in templated.values() for value in each["stringData"].values()} == {""}
    assert not of_kind(objects, "v1", "Secret")
    for each, template in templates(objects):
        wanted = _mounted_secrets(template)
        if each["metadata"]["name"] in ("postgres", "redis"):
            continue
        assert wanted <= templated.keys()
        files = {f"{SECRETS_DIR}/{file}" for name in wanted for file in templated[name]["stringData"]}
        env = template["spec"]["containers"][0]["env"]
        assert {one["value"] for one in env if one["name"].endswith("_FILE")} <= files
    external = kustomized(KNATIVE / "components" / "external-secrets")
    assert {each["spec"]["target"]["name"] for each in external} == templated.keys()


def test_volumes_are_mounted_and_mounts_have_volumes(objects: tuple[Object, ...]) -> None:
    claims = of_kind(objects, "v1", "PersistentVolumeClaim")
    for each, template in templates(objects):
        volumes = template["spec"].get("volumes", [])
        made = {one["metadata"]["name"] for one in each["spec"].get("volumeClaimTemplates", ())}
        mounts = {mount["name"] for one in template["spec"]["containers"] for mount in one["volumeMounts"]}
        assert mounts == {volume["name"] for volume in volumes} | made
        wanted = {one["persistentVolumeClaim"]["claimName"] for one in volumes if "persistentVolumeClaim" in one}
        assert wanted <= claims.keys()
        assert each["apiVersion"] != "serving.knative.dev/v1" or not wanted


def test_ports_and_probes_meet(objects: tuple[Object, ...]) -> None:
    services = of_kind(objects, "v1", "Service")
    for each, template in templates(objects):
        if each["metadata"]["name"] not in ALL:
            continue
        (container,) = template["spec"]["containers"]
        (port,) = container["ports"]
        for probe, paths in (
            ("readinessProbe", {"/health/ready", UI.ready_path}),
            ("livenessProbe", {"/health/live", UI.live_path}),
        ):
            assert container[probe]["httpGet"]["port"] == port["containerPort"]
            assert container[probe]["httpGet"]["path"] in paths
        if service := services.get(each["metadata"]["name"]):
            assert [one["targetPort"] for one in service["spec"]["ports"]] == [port["containerPort"]]
            assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()


def test_accounts_are_there_and_hold_no_token(objects: tuple[Object, ...]) -> None:
    accounts = of_kind(objects, "v1", "ServiceAccount")
    assert all(account["automountServiceAccountToken"] is False for account in accounts.values())
    used = {template["spec"].get("serviceAccountName") for each, template in templates(objects)}
    assert used - {None} == accounts.keys()
    for each, template in templates(objects):
        account = template["spec"].get("serviceAccountName")
        assert account or template["spec"]["automountServiceAccountToken"] is False, named(each)


def test_images_are_those_of_families_and_renamed_by_the_overlay(objects: tuple[Object, ...]) -> None:
    for each, template in templates(objects):
        if deployable := ALL.get(each["metadata"]["name"]):
            image = template["spec"]["containers"][0]["image"]
            assert re.fullmatch(rf"[a-z0-9.-]+/sutazai/{deployable.family}[:@].+", image), image


def test_the_database_is_brought_up_to_date_by_each_version(objects: tuple[Object, ...]) -> None:
    (job,) = of_kind(objects, "batch/v1", "Job").values()
    assert job["metadata"]["name"] == f"migrate-{VERSION.replace('.', '-')}"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["migrate"]
    assert [one["name"] for one in container["env"]] == ["SUTAZAI_HOME", "SUTAZAI_POSTGRES_URL_FILE"]
