"""Every public module is one function, and everything that is derived from its name holds."""

import importlib
import re
from collections import Counter

import pytest

from shared import catalog
from shared.function import Spec, Tool
from shared.wiring import ADAPTERS, PER_CALL

DNS_LABEL = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
SPECS = catalog.all_functions()
TOOLS = [spec for spec in SPECS if isinstance(spec.trigger, Tool)]
ASKED_FOR = {f"{port.__module__}.{port.__qualname__}": port for spec in SPECS for port in spec.ports.values()}
PORTS = sorted(ASKED_FOR.keys() - PER_CALL)


@pytest.mark.parametrize("module", catalog.modules())
def test_a_public_module_declares_exactly_one_function_under_its_own_name(module: str) -> None:
    spec = catalog.load(module)
    assert (spec.module, spec.name) == (module, module.rpartition(".")[2])
    assert spec.summary


def test_private_modules_are_no_functions() -> None:
    assert not [module for module in catalog.modules() if "._" in module]
    assert "functions.__main__" not in catalog.modules()


def test_a_module_with_another_function_in_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("functions.tasks.get_task")
    another = importlib.import_module("functions.tasks.list_tasks").list_tasks
    monkeypatch.setattr(another, "__module__", "functions.tasks.get_task")
    monkeypatch.setattr(module, "another", another, raising=False)
    with pytest.raises(LookupError, match="exactly one"):
        catalog.load("functions.tasks.get_task")


def test_deployed_names_are_unique_dns_labels() -> None:
    names = [spec.deployed for spec in SPECS]
    assert [name for name, count in Counter(names).items() if count > 1] == []
    assert [name for name in names if not DNS_LABEL.fullmatch(name)] == []


@pytest.mark.parametrize("spec", TOOLS, ids=lambda spec: spec.deployed)
def test_a_tool_is_found_by_its_public_name_and_its_agents(spec: Spec) -> None:
    assert catalog.action(spec.agent, spec.tool.name) == spec
    assert spec in catalog.actions_of(spec.agent)
    assert spec.agent in (*catalog.agent_names(), *catalog.BESIDE)


def test_an_unknown_agent_or_tool_is_told_apart() -> None:
    with pytest.raises(LookupError, match="no agent 'nobody'"):
        catalog.action("nobody", "read_file")
    with pytest.raises(LookupError, match="agent 'filesystem' has no tool 'fly'"):
        catalog.action("filesystem", "fly")
    with pytest.raises(LookupError, match="no agent 'nobody'"):
        catalog.actions_of("nobody")


def test_a_function_is_found_by_its_name_or_with_its_package() -> None:
    assert catalog.find("get_task") == catalog.find("tasks.get_task")
    with pytest.raises(LookupError, match="0 functions"):
        catalog.find("no_such_function")


@pytest.mark.parametrize("port", PORTS)
def test_an_adapter_stands_behind_every_port_that_is_asked_for(port: str) -> None:
    # What is no protocol stands for itself.
    assert port in ADAPTERS or not getattr(ASKED_FOR[port], "_is_protocol", False)


@pytest.mark.parametrize("port, adapter", ADAPTERS.items())
def test_every_port_and_its_adapter_exist(port: str, adapter: str) -> None:
    for name in (port, adapter):
        module, _, attribute = name.rpartition(".")
        assert isinstance(getattr(importlib.import_module(module), attribute), type)
