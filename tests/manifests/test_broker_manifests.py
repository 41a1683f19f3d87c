"""AsyncAPI and the topology operator's objects say what the adapter declares and the functions consume."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from events.topology import Profile, topology
from shared.catalog import all_functions
from shared.function import OnEvent
from shared.manifests.asyncapi import asyncapi
from shared.manifests.broker import topology_objects
from shared.manifests.event_schemas import event_types
from shared.manifests.files import ROOT

CONSUMERS = {spec.deployed for spec in all_functions() if isinstance(spec.trigger, OnEvent)}


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from ([node["$ref"]] if "$ref" in node else [])
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def test_every_reference_leads_somewhere() -> None:
    document = asyncapi(all_functions())
    for reference in _references(document):
        file, _, path = reference.partition("#/")
        if file:
            assert (ROOT / "events" / file).is_file(), reference
            continue
        node: Any = document
        for part in path.split("/"):
            node = node[part]


def test_every_type_of_event_has_a_message_and_every_consumer_an_operation() -> None:
    document = asyncapi(all_functions())
    named = {message["name"] for message in document["components"]["messages"].values()}
    assert named == set(event_types())
    received = {name for name, operation in document["operations"].items() if operation["action"] == "receive"}
    consuming = {spec.name for spec in all_functions() if isinstance(spec.trigger, OnEvent)}
    assert received == consuming | {"work"}


def test_the_written_document_is_the_rendered_one() -> None:
    written = yaml.safe_load((ROOT / "events" / "asyncapi.yaml").read_text())
    assert written == asyncapi(all_functions())


@pytest.mark.parametrize("profile", ["classic", "quorum"])
def test_the_operators_objects_are_the_topology(profile: Profile) -> None:
    objects = topology_objects(all_functions(), profile=profile)
    names = [(each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name) for _, name in names)
    queues = {each["spec"]["name"]: each["spec"] for each in objects if each["kind"] == "Queue"}
    assert set(queues) == {queue.name for queue in topology(profile).queues} | {"events.knative"}
    assert {spec["type"] for spec in queues.values()} == {profile}
    assert ("x-max-priority" in queues["task_queue"]["arguments"]) == (profile == "classic")
    exchanges = {each["spec"]["name"] for each in objects if each["kind"] == "Exchange"}
    bindings = [each["spec"] for each in objects if each["kind"] == "Binding"]
    assert all(binding["source"] in exchanges and binding["destination"] in queues for binding in bindings)
    consumed = [spec.trigger.event for spec in all_functions() if isinstance(spec.trigger, OnEvent)]
    types = {event.type for event in consumed if event.carried}
    assert {one["routingKey"] for one in bindings if one["destination"] == "events.knative"} == types


def test_dead_letters_and_alternates_name_exchanges_that_exist() -> None:
    for profile in ("classic", "quorum"):
        whole = topology(profile)
        exchanges = {exchange.name for exchange in whole.exchanges}
        named = {queue.arguments.get("x-dead-letter-exchange") for queue in whole.queues}
        named |= {exchange.arguments.get("alternate-exchange") for exchange in whole.exchanges}
        assert named - {None} <= exchanges


def test_generated_files_say_that_they_are() -> None:
    for path in ("events/asyncapi.yaml", "knative/base/topology.yaml", "stack.yml"):
        assert Path(ROOT / path).read_text().startswith("# Generated")
