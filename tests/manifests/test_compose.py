"""The composition holds together, goes by the names and ports that people know, and is as shut as it can be."""

import copy
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from ipaddress import IPv4Network, ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from shared import together
from shared.catalog import all_functions
from shared.config import Settings
from shared.function import Tool
from shared.manifests.compose.document import document
from shared.manifests.compose.prepare import prepare
from shared.manifests.deployables import UI, Deployable, deployables
from shared.manifests.files import ROOT
from shared.manifests.kong.document import document as kong
from shared.manifests.kong.places import COMPOSE, ISSUER
from shared.serve import App
from shared.stores.signing_keys import SigningKeys
from tests.manifests.kong_schemas import errors

Document = dict[str, Any]

# Of the Compose specification, what we use of it.
_TOP = {"name": str, "services": dict, "networks": dict, "volumes": dict, "secrets": dict}
_SERVICE = {
    **dict.fromkeys(("image", "restart", "user", "hostname", "shm_size", "stop_signal", "stop_grace_period"), str),
    **dict.fromkeys(("read_only", "init"), bool),
    **dict.fromkeys(("cap_drop", "cap_add", "security_opt", "tmpfs", "ports", "volumes", "secrets"), list),
    **dict.fromkeys(("command", "entrypoint"), list),
    **dict.fromkeys(("environment", "depends_on", "networks", "healthcheck", "deploy", "logging", "build"), dict),
    "pids_limit": int,
}
_INSIDE = {
    "healthcheck": {"test", "interval", "timeout", "retries", "start_period"},
    "build": {"context", "dockerfile", "args"},
    "deploy": {"resources"},
    "logging": {"driver", "options"},
}
_ADDRESSES = {
    "postgres": "172.20.0.10",
    "redis": "172.20.0.11",
    "neo4j": "172.20.0.12",
    "rabbitmq": "172.20.0.13",
    "backend": "172.20.0.30",
    "frontend": "172.20.0.31",
    "mcp-bridge": "172.20.0.32",
}
_PORTS = {
    10000: "postgres",
    10001: "redis",
    10002: "neo4j",
    10003: "neo4j",
    10004: "rabbitmq",
    10005: "rabbitmq",
    10008: "kong",
    10009: "kong",
    10100: "chroma",
    10101: "qdrant",
    10102: "qdrant",
    10200: "backend-1",
    11000: "frontend",
    11100: "mcp-bridge",
}
# What the UI's server is told beside Settings.
_OF_UI = {"SUTAZAI_API_URL", "SUTAZAI_PUBLIC_API_URL", "SUTAZAI_UI_KEY_FILE"}


@cache
def rendered() -> Document:
    """Shared between tests: not to be changed."""
    return document(all_functions())


def services() -> dict[str, Document]:
    found: dict[str, Document] = rendered()["services"]
    return found


@cache
def listed() -> tuple[Deployable, ...]:
    return deployables(all_functions())


def _unknown(made: Document) -> Iterator[str]:
    """Keys that Compose does not know, and values that are not of its kinds."""
    yield from (f"{key}" for key, value in made.items() if not isinstance(value, _TOP.get(key, ())))
    for name, service in made["services"].items():
        for key, value in service.items():
            if not isinstance(value, _SERVICE.get(key, ())):
                yield f"{name}.{key}"
            if key in _INSIDE:
                yield from (f"{name}.{key}.{inner}" for inner in value if inner not in _INSIDE[key])
        for condition in service.get("depends_on", {}).values():
            if condition.get("condition") not in ("service_healthy", "service_completed_successfully"):
                yield f"{name}.depends_on"
        told = service.get("environment", {})
        yield from (f"{name}.environment.{key}" for key, value in told.items() if not isinstance(value, str))
        for port in service.get("ports", ()):
            if not re.fullmatch(r"\$\{SUTAZAI_BIND:-127\.0\.0\.1\}:\d{5}:\d{2,5}", port):
                yield f"{name}.ports {port}"


def test_the_committed_file_is_what_follows_and_compose_knows_all_that_is_in_it() -> None:
    assert yaml.safe_load((ROOT / "knative/compose.yaml").read_text()) == rendered()
    assert list(_unknown(rendered())) == []


@pytest.mark.parametrize(
    "break_it",
    [
        lambda made: made.update(service={}),
        lambda made: made["services"]["kong"].update(helthcheck={}),
        lambda made: made["services"]["kong"].update(read_only="yes"),
        lambda made: made["services"]["kong"]["healthcheck"].update(retry=1),
        lambda made: made["services"]["kong"]["environment"].update(KONG_DATABASE=False),
        lambda made: made["services"]["kong"]["ports"].append("0.0.0.0:1:1"),
        lambda made: made["services"]["kong"]["depends_on"].update(redis={"condition": "healthy"}),
    ],
)
def test_what_compose_would_refuse_or_overlook_is_found(break_it: Callable[[Document], None]) -> None:
    made = copy.deepcopy(rendered())
    break_it(made)
    assert len(list(_unknown(made))) == 1


def _aliases() -> dict[str, str]:
    return {
        alias: service["networks"]["sutazai"]["ipv4_address"]
        for service in services().values()
        for alias in service["networks"]["sutazai"]["aliases"]
    }


def test_addresses_are_in_the_network_and_each_has_one_owner() -> None:
    (config,) = rendered()["networks"]["sutazai"]["ipam"]["config"]
    assert config == {"subnet": "172.20.0.0/16", "gateway": "172.20.0.1"}
    addresses = [service["networks"]["sutazai"]["ipv4_address"] for service in services().values()]
    assert [address for address, count in Counter([*addresses, config["gateway"]]).items() if count > 1] == []
    assert all(ip_address(address) in IPv4Network(config["subnet"]) for address in addresses)
    aliases = [alias for service in services().values() for alias in service["networks"]["sutazai"]["aliases"]]
    assert [alias for alias, count in Counter(aliases).items() if count > 1] == []


def test_names_lead_where_they_always_did() -> None:
    aliases = _aliases()
    assert {name: aliases.get(f"{name}.sutazai.local") for name in _ADDRESSES} == _ADDRESSES
    agents = [each.name for each in listed() if each.acts]
    assert [aliases[f"{agent}.sutazai.local"] for agent in agents] == [
        f"172.20.0.{100 + number}" for number in range(len(agents))
    ]
    for name in ("chroma", "qdrant"):
        assert 70 <= int(aliases[name].rpartition(".")[2]) <= 89


def test_ports_are_the_known_ones_and_each_is_published_once() -> None:
    published = [
        (int(port.split(":")[-2]), name) for name, each in services().items() for port in each.get("ports", ())
    ]
    assert [port for port, count in Counter(port for port, _ in published).items() if count > 1] == []
    assert _PORTS.items() <= dict(published).items()
    assert all(10000 <= port <= 11801 for port, _ in published)


def test_whatever_is_named_is_defined_and_whatever_is_defined_is_used() -> None:
    made, used = rendered(), {"networks": set[str](), "volumes": set[str](), "secrets": set[str]()}
    for service in services().values():
        used["networks"] |= service["networks"].keys()
        used["volumes"] |= {mount.partition(":")[0] for mount in service.get("volumes", ())}
        used["secrets"] |= {each if isinstance(each, str) else each["source"] for each in service.get("secrets", ())}
        assert service.get("depends_on", {}).keys() <= services().keys()
    assert {kind: set(made[kind]) for kind in used} == used


def test_who_waits_for_another_waits_for_something_that_happens() -> None:
    for name, service in services().items():
        for other, waited in service.get("depends_on", {}).items():
            tested = services()[other]["healthcheck"]["test"]
            if waited["condition"] == "service_healthy":
                assert tested != ["NONE"], f"{name} waits for {other}"
            else:
                assert services()[other]["restart"] == "no", f"{name} waits for the end of {other}"
    _in_order(services())


def _in_order(left: dict[str, Document]) -> None:
    """Nobody waits in a circle."""
    done: set[str] = set()
    while ready := [
        name for name, each in left.items() if name not in done and each.get("depends_on", {}).keys() <= done
    ]:
        done.update(ready)
    assert done == set(left)


def test_whatever_goes_on_is_asked_how_it_is() -> None:
    for name, service in services().items():
        assert (service["healthcheck"]["test"] == ["NONE"]) == (service["restart"] == "no"), name


@pytest.mark.parametrize("name", services())
def test_a_container_may_do_no_more_than_it_must(name: str) -> None:
    service = services()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("cap_add", []) == (["CHOWN"] if name == "folders" else [])
    assert all({"nosuid", "nodev"} <= set(each.partition(":")[2].split(",")) for each in service["tmpfs"])
    limits = service["deploy"]["resources"]["limits"]
    assert re.fullmatch(r"\d+[mg]", limits["memory"]) and float(limits["cpus"]) > 0
    assert service["pids_limit"] > 0
    assert not service.get("privileged") and "network_mode" not in service
    # Its image has no other user, and without rights root owns nothing but its own files.
    assert service.get("user", "0:0").partition(":")[0] not in ("0", "root") or name in ("folders", "chroma")
    assert re.search(r":[a-z]*\d|^\$\{SUTAZAI_IMAGE:-", service["image"]), "a version"


def test_what_is_secret_comes_from_files_alone() -> None:
    folder = "${SUTAZAI_SECRETS:-../.sutazai/compose}"
    assert rendered()["secrets"] == {name: {"file": f"{folder}/{name}"} for name in rendered()["secrets"]}
    for name, service in services().items():
        mounted = {f"/run/secrets/{each}" for each in service.get("secrets", ()) if isinstance(each, str)}
        for variable, value in service.get("environment", {}).items():
            if variable.endswith("_FILE"):
                assert value in mounted, f"{name}: {variable}"
            assert not re.search(r"PASS|SECRET|TOKEN", variable.removesuffix("_FILE")) or variable.endswith("_FILE")
            assert not urlsplit(value).password


def test_variables_are_those_that_are_read() -> None:
    source = (ROOT / "shared/config.py").read_text()
    known = {*re.findall(r"SUTAZAI_[A-Z0-9_]+", source), *_OF_UI}
    for name, service in services().items():
        told = {each for each in service.get("environment", {}) if each.startswith("SUTAZAI_")}
        unknown = {each for each in told if each not in known and each.removesuffix("_FILE") not in known}
        assert unknown == set(), name
        if name not in ("frontend", "migrate") and told:
            environ = {each: service["environment"][each] for each in told if not each.endswith("_FILE")}
            # As where its operator has said nothing.
            Settings.read({each: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value) for each, value in environ.items()})


def test_everything_that_is_declared_runs_somewhere() -> None:
    called = {spec.deployed for spec in together.endpoints()}
    inner = {spec.deployed for spec in together.background()}
    alone = {each["command"][1] for each in services().values() if each.get("command", [""])[0] == "serve"}
    assert {each.name for each in listed()} <= called | inner | alone
    assert {"--endpoints", "--background", UI.name} <= alone


def test_endpoints_and_consumers_are_served_by_one_process() -> None:
    app = App(together.endpoints())
    assert app.has_sockets
    agents = {spec.deployed for spec in all_functions() if isinstance(spec.trigger, Tool)}
    assert not agents & {spec.deployed for spec in together.endpoints()}


def test_whoever_needs_a_secret_or_a_store_has_it() -> None:
    by_command = {each["command"][1]: each for each in services().values() if each.get("command", [""])[0] == "serve"}
    for each in listed():
        if each.name in by_command and each is not UI:
            service = by_command[each.name]
            assert {f"{store}-url" for store in each.stores if store != "s3"} <= set(service["secrets"]), each.name
            assert set(each.stores) & services().keys() <= service["depends_on"].keys(), each.name


def test_kong_finds_what_it_balances_and_consumers_are_found_by_their_names() -> None:
    aliases = _aliases()
    for upstream in COMPOSE.upstreams:
        for target in upstream["targets"]:
            assert target["target"].partition(":")[0] in aliases
    for service in kong(all_functions(), COMPOSE, issuer=ISSUER)["services"]:
        host = urlsplit(service["url"]).hostname
        assert host in aliases or host in {each["name"] for each in COMPOSE.upstreams}, service["name"]
    for each in listed():
        if any(wakes.agent is None for wakes in each.subscriptions):
            assert each.name in aliases


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "compose"


def test_secrets_are_made_once_whole_and_for_their_containers_alone(folder: Path) -> None:
    written = prepare(folder)
    assert {path.name for path in written} >= rendered()["secrets"].keys()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o444}
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert prepare(folder) == []
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    passwords = [content for name, content in before.items() if name.endswith("-password")]
    assert len(set(passwords)) == len(passwords) > 3
    assert {len(content) for name, content in before.items() if name.endswith(".key")} == {32}


def test_the_servers_and_those_who_use_them_are_told_the_same_password(folder: Path) -> None:
    prepare(folder)
    password = (folder / "redis-password").read_text()
    assert (folder / "redis-conf").read_text() == f"requirepass {password}\n"
    assert urlsplit((folder / "redis-url").read_text()).password == password
    assert urlsplit((folder / "postgres-url").read_text()).password == (folder / "postgres-password").read_text()


def test_kong_is_given_the_key_that_signs(folder: Path) -> None:
    prepare(folder)
    made = yaml.safe_load((folder / "kong.yaml").read_text())
    (consumer,) = made["consumers"]
    assert [secret["key"] for secret in consumer["jwt_secrets"]] == [key.kid for key in SigningKeys(folder).live()]
    assert errors(made) == []


def test_a_lost_secret_is_made_again_and_a_brought_one_is_kept(folder: Path) -> None:
    prepare(folder)
    (folder / "redis-url").unlink()
    brought = folder / "rabbitmq-password"
    brought.unlink()
    brought.write_text("brought")
    names = {path.name for path in prepare(folder)}
    assert names == {"redis-url", "rabbitmq-conf", "rabbitmq-url"} & rendered()["secrets"].keys()
    assert urlsplit((folder / "rabbitmq-url").read_text()).password == "brought"
    assert os.listdir(folder)
