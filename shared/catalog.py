"""Finds functions by their files: one by name without importing the others, or all of them."""

import importlib
import importlib.util
from functools import cache
from pathlib import Path

from shared.function import MARK, Spec, Tool, spec_of

PACKAGE = "functions"


@cache
def modules() -> tuple[str, ...]:
    """Dotted names of all public modules, without importing any of them."""
    found = importlib.util.find_spec(PACKAGE)
    assert found is not None and found.submodule_search_locations
    root = Path(next(iter(found.submodule_search_locations)))
    files = (path.relative_to(root).with_suffix("") for path in sorted(root.rglob("*.py")))
    return tuple(
        ".".join((PACKAGE, *file.parts)) for file in files if not any(part.startswith("_") for part in file.parts)
    )


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


@cache
def all_functions() -> tuple[Spec, ...]:
    return tuple(load(module) for module in modules())


def actions_of(agent: str) -> tuple[Spec, ...]:
    """The actions of one agent, importing only its package. Raises LookupError when there is no such agent."""
    prefix = f"{PACKAGE}.agents.{agent.replace('-', '_')}."
    found = tuple(load(module) for module in modules() if module.startswith(prefix))
    if not found:
        raise LookupError(f"no agent {agent!r}")
    return found


def action(agent: str, tool: str) -> Spec:
    """One action of an agent, importing nothing else. Raises LookupError."""
    module = f"{PACKAGE}.agents.{agent.replace('-', '_')}.{tool.replace('-', '_')}"
    if module not in modules() or (spec := load(module)).tool.name != tool or spec.agent != agent:
        raise LookupError(f"agent {agent!r} has no tool {tool!r}" if agent in agent_names() else f"no agent {agent!r}")
    return spec


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
