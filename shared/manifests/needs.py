"""What a process will need: the settings, keys and packages that the source of its function and adapters asks for."""

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

from shared.config import Settings
from shared.function import Every, Http, Mcp, OnEvent, Prompt, Resource, Service, Spec, Tool, WebSocket
from shared.ports.upkeep import Upkeep
from shared.wiring import INSTEAD, adapters_of, named

# On a cluster every store is a server of its own, so what stands in for one on one machine is not there; and strangers
# are counted.
CLUSTER = Settings.read(
    {"SUTAZAI_DEFAULT_TIER": "free", **{f"SUTAZAI_{setting.upper()}": "set" for setting in INSTEAD}}
)
_FIELDS = frozenset(field.name for field in fields(Settings))
_ROOT = Path(__file__).resolve().parents[2]
_OURS = ("events", "functions", "shared")
# They load what somebody else needs, who is asked himself.
_LOADERS = frozenset({"shared.catalog", "shared.wiring"})
# What they import within a function depends on what they serve.
_CHOOSERS = frozenset({"shared.endpoints", "shared.serve"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """`settings` are fields of Settings, `keys` key files, `packages` top-level modules that are not ours.

    `files`: an adapter works on the folder of users' files.
    """

    settings: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()
    packages: frozenset[str] = frozenset()
    files: bool = False

    def __or__(self, other: "Needs") -> "Needs":
        return Needs(
            settings=self.settings | other.settings,
            keys=self.keys | other.keys,
            packages=self.packages | other.packages,
            files=self.files or other.files,
        )


def needs_of(specs: Iterable[Spec]) -> Needs:
    """Of one process that serves them all."""
    whole = Needs()
    for spec in specs:
        code = _reached({spec.module, *_server(spec)})
        opened = [named(port) for module in code - _unopened(spec) for port in _source(module).opened]
        # What runs every so often takes turns with its replicas.
        opened += [Upkeep] if isinstance(spec.trigger, Every) else []
        adapters = {each for port in (*spec.ports.values(), *opened) for each in adapters_of(port, CLUSTER)}
        whole |= Needs(files=any("files_dir" in _source(each.__module__).settings for each in adapters))
        for module in code | _reached({each.__module__ for each in adapters}):
            source = _source(module)
            whole |= Needs(settings=source.settings, keys=source.keys, packages=source.packages)
    return whole


def _server(spec: Spec) -> set[str]:
    """The modules that serve it, beside those that serve everything."""
    match spec.trigger:
        case Http(scope=scope, limited=limited, upload=upload):
            gate = {"shared.gate"} if scope is not None else set()
            meter, form = {"shared.meter"} if limited else set(), {"shared.upload"} if upload else set()
            found = {"shared.endpoints", *gate, *meter, *form}
        case OnEvent():
            found = {"shared.consumer"}
        case Tool() | Resource() | Prompt():
            found = {"shared.agent"}
        case Mcp():
            found = {"shared.mcp.bridge.endpoint"}
        case WebSocket():
            found = {"shared.sockets", "shared.socket_protocol"}
        case Every() | Service():
            found = {"shared.background"}
    return {"shared.serve", *found}


def _unopened(spec: Spec) -> set[str]:
    """Modules whose ports it does not open, though they serve it."""
    kept = isinstance(spec.trigger, Http) and spec.http.scope is not None and spec.http.keyed
    return {"shared.background", *(() if kept and spec.http.method != "GET" else ("shared.endpoints",))}


def _reached(modules: set[str]) -> set[str]:
    """They, and what of ours they import in turn."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        if (module := waiting.pop()) not in found | _LOADERS:
            found.add(module)
            waiting.extend(_source(module).imported)
    return found


@dataclass(frozen=True, slots=True)
class _Source:
    """What the text of one module asks for."""

    settings: frozenset[str]
    keys: frozenset[str]
    packages: frozenset[str]
    imported: frozenset[str]
    opened: frozenset[str]


@cache
def _source(module: str) -> _Source:
    tree = ast.parse(_file(module).read_bytes())
    nodes = list(_executed(tree))
    at_once = nodes if module not in _CHOOSERS else list(_executed(tree, into_functions=False))
    imports = [name for node in at_once for name in _imports(node)]
    bound = {name.rpartition(".")[2]: name for node in nodes for name in _imports(node)}
    return _Source(
        settings=frozenset(name for node in nodes for name in _settings(node)),
        keys=frozenset(name for node in nodes for name in _keys(node) if module != "shared.crypto"),
        packages=frozenset(_packages(imports)),
        imported=frozenset(filter(None, map(_module, imports))),
        opened=frozenset(bound[name] for node in nodes for name in _opened(node) if name in bound),
    )


def _executed(tree: ast.AST, *, into_functions: bool = True) -> Iterator[ast.AST]:
    """Nodes, but for branches that only a type checker takes, or a setting that a cluster does not have."""
    for node in ast.iter_child_nodes(tree):
        yield node
        if isinstance(node, ast.If) and _is_never(node.test):
            yield from _executed(node.test)
            for other in node.orelse:
                yield other
                yield from _executed(other, into_functions=into_functions)
        elif into_functions or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _executed(node, into_functions=into_functions)


def _is_never(test: ast.expr) -> bool:
    """`TYPE_CHECKING`, `settings.name` and `settings.name is not None`."""
    of = test.left if isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.IsNot) else test
    if isinstance(of, ast.Name):
        return of.id == "TYPE_CHECKING"
    return any(not getattr(CLUSTER, name) for name in _settings(of))


def _imports(node: ast.AST) -> Iterator[str]:
    """Whole dotted names: of modules, or of what is taken out of one."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Call) and any(map(_is_import_module, (node.func, *node.args))):
        yield from (arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str))


def _is_import_module(node: ast.AST) -> bool:
    """`importlib.import_module`, called here or in a thread."""
    return isinstance(node, ast.Attribute) and node.attr == "import_module"


def _packages(names: Iterable[str]) -> Iterator[str]:
    tops = (name.partition(".")[0] for name in names)
    return (top for top in tops if top not in _OURS and top not in sys.stdlib_module_names)


@cache
def _module(name: str) -> str | None:
    """The module of ours that a dotted name is, or lies in."""
    parts = name.split(".")
    while parts and parts[0] in _OURS:
        if _file(".".join(parts)).is_file():
            return ".".join(parts)
        parts.pop()
    return None


def _file(module: str) -> Path:
    if (loaded := getattr(sys.modules.get(module), "__file__", None)) is not None:
        return Path(loaded)
    path = _ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _settings(node: ast.AST) -> Iterator[str]:
    """`settings.name`, `self._settings.name`, `ports.settings.name`."""
    if isinstance(node, ast.Attribute):
        of = node.value
        owner = of.attr if isinstance(of, ast.Attribute) else of.id if isinstance(of, ast.Name) else ""
        if owner.lstrip("_") == "settings":
            yield from {node.attr} & _FIELDS
            # A property says it of a field.
            yield from {"default_tier"} if node.attr == "limits_strangers" else ()


def _keys(node: ast.AST) -> Iterator[str]:
    """`refresh_key(...)`, `read_key(..., "seal")`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id in _key_files():
            yield _key_files()[node.func.id]
        elif node.func.id == "read_key" and isinstance(node.args[-1], ast.Constant):
            yield str(node.args[-1].value)


@cache
def _key_files() -> Mapping[str, str]:
    """Functions of shared.crypto, and the key files that they read."""
    tree = ast.parse(_file("shared.crypto").read_bytes())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    single = {
        function.name: str(call.args[-1].value)
        for function in functions
        for call in ast.walk(function)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "read_key"
        if isinstance(call.args[-1], ast.Constant)
    }
    return {**single, "signing_seeds": "signing"}


def _opened(node: ast.AST) -> Iterator[str]:
    """`ports.open(Name)`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "open":
        of, name = node.func.value, node.args[0] if node.args else None
        owner = of.attr if isinstance(of, ast.Attribute) else of.id if isinstance(of, ast.Name) else ""
        if owner.lstrip("_") == "ports" and isinstance(name, ast.Name):
            yield name.id
