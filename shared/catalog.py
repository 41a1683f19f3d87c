"""Finds functions by their files: one by name without importing the others, or all of them."""

import importlib
import importlib.util
import os
from collections.abc import Iterator
from functools import cache

from shared.function import MARK, Prompt, Resource, Spec, Tool, deployed_name, spec_of

PACKAGE = "functions"
# What indexes documents, and what calls servers outside, is served as agents are, and is none of them.
DOCUMENTS = "documents"
OUTSIDE = "mcp-servers"
BESIDE = (DOCUMENTS, OUTSIDE)
# Those of the official conformance suite; they come last.
_FIXTURES = "_fixtures"


@cache
def modules() -> tuple[str, ...]:
    """Dotted names of all public modules, without importing any of them."""
    found = importlib.util.find_spec(PACKAGE)
    assert found is not None and found.submodule_search_locations
    root = next(iter(found.submodule_search_locations))
    # Each process asks this as it starts, and pathlib takes ten times as long.
    files = [
        (*folder[len(root) + 1 :].split(os.sep), name.removesuffix(".py")) if folder != root else (name,)
        for folder, _, names in os.walk(root)
        for name in names
        if name.endswith(".py")
    ]
    files.sort()
    public = [parts for parts in files if not any(part.startswith("_") for part in parts)]
    if os.environ.get("SUTAZAI_MCP_FIXTURES") == "1":
        public += [parts for parts in files if parts[-2:-1] == (_FIXTURES,) and not parts[-1].startswith("_")]
    return tuple(".".join((PACKAGE, *parts)) for parts in public)


def load(module: str) -> Spec:
    """The one function of a public module. Raises LookupError when it declares none or several."""
    names = vars(importlib.import_module(module)).values()
    marked = [value for value in names if hasattr(value, MARK) and value.__module__ == module]
    if len(marked) != 1 or marked[0].__name__ != module.rpartition(".")[2]:
        raise LookupError(f"{module} must declare exactly one function, under the module's name")
    return spec_of(marked[0])


def find(name: str) -> Spec:
    """By function name (`get_task`), or by package and name (`tasks.get_task`) where several share it.

    Raises LookupError when no function, or more than one, has it.
    """
    wanted = f".{name}"
    found = [module for module in modules() if module.endswith(wanted)]
    if len(found) != 1:
        raise LookupError(f"{len(found)} functions are named {name!r}: {', '.join(found) or 'see `list`'}")
    return load(found[0])


def served_as(name: str) -> tuple[Spec, ...]:
    """What one process serves under a name, importing nothing else: all actions of an agent, or one function.

    A function goes by its deployed name too, beside those that `find` takes. Raises LookupError.
    """
    if name in (*agent_names(), *BESIDE):
        return actions_of(name)
    deployed = {deployed_name(module): module for module in modules()}
    return (load(deployed[name]) if name in deployed else find(name),)


@cache
def all_functions() -> tuple[Spec, ...]:
    """All that are called, or woken, by themselves: what agents show belongs to their actions."""
    loaded = (load(module) for module in modules())
    return tuple(spec for spec in loaded if not isinstance(spec.trigger, Resource | Prompt))


def actions_of(agent: str) -> tuple[Spec, ...]:
    """The actions of one agent, importing only its package. Raises LookupError when there is no such agent."""
    found = tuple(spec for spec in _of_agent(agent) if isinstance(spec.trigger, Tool))
    if not found:
        raise LookupError(f"no agent {agent!r}")
    return found


def shown_by(agent: str) -> tuple[Spec, ...]:
    """An agent's resources and prompts; none of an agent that is not there."""
    return tuple(spec for spec in _of_agent(agent) if isinstance(spec.trigger, Resource | Prompt))


def _package(agent: str) -> str:
    return f"{PACKAGE}.{'' if agent in BESIDE else 'agents.'}{agent.replace('-', '_')}"


def _of_agent(agent: str) -> Iterator[Spec]:
    prefix = f"{_package(agent)}."
    return (load(module) for module in modules() if module.startswith(prefix))


def action(agent: str, tool: str) -> Spec:
    """One action of an agent, importing nothing else. Raises LookupError."""
    package, module = _package(agent), tool.replace("-", "_")
    for name in (f"{package}.{module}", f"{package}.{_FIXTURES}.{module}"):
        spec = load(name) if name in modules() else None
        if spec and isinstance(spec.trigger, Tool) and spec.tool.name == tool and spec.agent == agent:
            return spec
    raise LookupError(f"agent {agent!r} has no tool {tool!r}" if agent in agent_names() else f"no agent {agent!r}")


@cache
def agent_names() -> tuple[str, ...]:
    """Without importing any."""
    prefix = f"{PACKAGE}.agents."
    packages = {module.removeprefix(prefix).partition(".")[0] for module in modules() if module.startswith(prefix)}
    return tuple(sorted(package.replace("_", "-") for package in packages))


def agents(specs: tuple[Spec, ...]) -> dict[str, tuple[Spec, ...]]:
    """Actions by agent, agents in order of name."""
    names = sorted({spec.agent for spec in specs if isinstance(spec.trigger, Tool)})
    return {name: tuple(s for s in specs if isinstance(s.trigger, Tool) and s.agent == name) for name in names}
