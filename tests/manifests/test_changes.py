"""One change of one declaration changes what follows from it, and no line more."""

import dataclasses
import importlib.util
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from shared.catalog import all_functions, load
from shared.function import Scale, Spec
from shared.manifests import files
from shared.manifests.files import ROOT, rendered
from shared.manifests.openapi import openapi

SPECS = all_functions()
Changes = dict[str, tuple[list[str], list[str]]]


def _changes(specs: tuple[Spec, ...]) -> Changes:
    """Lines that went and lines that came, by file; what Kong and compose are given is looked at elsewhere."""
    before, after = _as_it_is(), rendered(specs)
    found = {}
    for path in before.keys() | after.keys():
        name = path.relative_to(ROOT).as_posix()
        if before.get(path) != after.get(path) and not name.startswith(("knative/kong/", "knative/compose")):
            found[name] = _lines(before.get(path, ""), after.get(path, ""))
    return found


@cache
def _as_it_is() -> dict[Path, str]:
    return rendered(SPECS)


def _lines(before: str, after: str) -> tuple[list[str], list[str]]:
    """In their order; one that only moved is neither."""
    gone, came = Counter(before.splitlines()), Counter(after.splitlines())
    return [line.strip() for line in (gone - came).elements()], [line.strip() for line in (came - gone).elements()]


def _with(name: str, **fields: Any) -> tuple[Spec, ...]:
    changed = tuple(dataclasses.replace(spec, **fields) if spec.name == name else spec for spec in SPECS)
    assert changed != SPECS
    return changed


def _operations(specs: tuple[Spec, ...]) -> dict[tuple[str, str], Any]:
    paths = openapi(specs, version="1")["paths"]
    return {(method, path): one for path, methods in paths.items() for method, one in methods.items()}


def test_a_timeout_changes_its_own_lines() -> None:
    assert _changes(_with("get_info", timeout_s=50.0)) == {
        "stack.yml": (
            ["read_timeout: 35s", "write_timeout: 35s", "exec_timeout: 35s"],
            ["read_timeout: 55s", "write_timeout: 55s", "exec_timeout: 55s"],
        ),
        "knative/base/functions/system.yaml": (["timeoutSeconds: 35"], ["timeoutSeconds: 55"]),
    }


def test_a_scale_changes_its_own_lines_and_how_many_may_count_at_most() -> None:
    before = _replicas()
    assert _changes(_with("list_users", scale=Scale(min=0, max=12, target=80))) == {
        "stack.yml": (
            ["com.openfaas.scale.max: '10'", "com.openfaas.scale.target: '50'"],
            ["com.openfaas.scale.max: '12'", "com.openfaas.scale.target: '80'"],
        ),
        "knative/base/functions/users.yaml": (
            [
                "autoscaling.knative.dev/target: '50'",
                "autoscaling.knative.dev/max-scale: '10'",
                "containerConcurrency: 50",
            ],
            [
                "autoscaling.knative.dev/target: '80'",
                "autoscaling.knative.dev/max-scale: '12'",
                "containerConcurrency: 80",
            ],
        ),
        "knative/base/config.yaml": (
            [f"SUTAZAI_REPLICAS: '{before}'"],
            [f"SUTAZAI_REPLICAS: '{before + 2}'"],
        ),
    }


def _replicas() -> int:
    text = _as_it_is()[ROOT / "knative/base/config.yaml"]
    (line,) = (line for line in text.splitlines() if "SUTAZAI_REPLICAS" in line)
    return int(line.partition("'")[2].rstrip("'"))


def test_what_is_always_there_changes_the_production_overlay() -> None:
    changes = _changes(_with("get_info", scale=Scale(min=3, max=10)))
    assert changes.keys() == {
        "stack.yml",
        "knative/overlays/prod/budgets.yaml",
        "knative/overlays/prod/scale.yaml",
    }
    gone, came = changes["knative/overlays/prod/scale.yaml"]
    assert gone == []
    assert "autoscaling.knative.dev/min-scale: '3'" in came
    assert not any("class" in line for line in came)


@pytest.fixture
def declared(tmp_path: Path) -> Iterator[Any]:
    """Declares a function as if a file of that name lay among the others."""
    names = []

    def declare(module: str, source: str) -> Spec:
        path = tmp_path / f"{module.rpartition('.')[2]}.py"
        path.write_text(source)
        found = importlib.util.spec_from_file_location(module, path)
        assert found is not None and found.loader is not None
        sys.modules[module] = made = importlib.util.module_from_spec(found)
        names.append(module)
        found.loader.exec_module(made)
        return load(module)

    yield declare
    for name in names:
        del sys.modules[name]


ROUTE = '''
"""GET /api/v1/build: what this was built from."""

from pydantic import BaseModel

from shared.function import Caller, http


class Build(BaseModel):
    revision: str


@http("GET", "/api/v1/build", scope="tasks:read", timeout_s=7)
async def get_build(*, caller: Caller) -> Build:
    """What this was built from."""
    raise NotImplementedError
'''


def test_a_new_route_adds_its_own_lines(declared: Any) -> None:
    spec = declared("functions.system.get_build", ROUTE)
    specs = (*SPECS, spec)
    changes = _changes(specs)
    assert changes.keys() == {"stack.yml", "knative/base/functions/system.yaml", "knative/base/config.yaml"}
    for name in ("stack.yml", "knative/base/functions/system.yaml"):
        gone, came = changes[name]
        assert gone == []
        assert any("system-get-build" in line for line in came)
    assert "timeoutSeconds: 12" in changes["knative/base/functions/system.yaml"][1]
    assert changes["knative/base/config.yaml"] == (
        [f"SUTAZAI_REPLICAS: '{_replicas()}'"],
        [f"SUTAZAI_REPLICAS: '{_replicas() + 10}'"],
    )
    before, after = _operations(SPECS), _operations(specs)
    assert after.keys() - before.keys() == {("get", "/api/v1/build")}
    assert {key: after[key] for key in before} == before


CONSUMER = '''
"""On session.revoked.v1: counts them."""

from events.users import SessionRevoked
from shared.function import on_event
from shared.ports.users import Users


@on_event(SessionRevoked, timeout_s=20)
async def count_revoked(event: SessionRevoked, *, users: Users) -> None:
    """Counts them."""
    raise NotImplementedError
'''


def test_a_new_consumer_adds_its_function_its_trigger_and_its_binding(declared: Any) -> None:
    spec = declared("functions.users.count_revoked", CONSUMER)
    specs = (*SPECS, spec)
    changes = _changes(specs)
    topology = changes.pop("knative/base/topology.yaml")
    assert topology[0] == []
    assert [line for line in topology[1] if "session.revoked.v1" in line] == ["routingKey: session.revoked.v1"]
    gone, came = changes.pop("knative/base/config.yaml")
    assert [sorted(line.split()[1:]) for line in gone] == [sorted(_types() - {"session.revoked.v1"})]
    assert [sorted(line.split()[1:]) for line in came] == [sorted(_types() | {"session.revoked.v1"})]
    gone, came = changes.pop("knative/base/functions/users.yaml")
    assert gone == []
    for line in ("kind: Trigger", "type: session.revoked.v1", "timeoutSeconds: 25", "kind: Service"):
        assert line in came
    gone, came = changes.pop("stack.yml")
    assert gone == []
    assert "topic: session.revoked.v1" in came
    assert changes.pop("events/asyncapi.yaml")[0] == []
    assert changes == {}
    assert _operations(specs) == _operations(SPECS)


def _types() -> set[str]:
    text = _as_it_is()[ROOT / "knative/base/config.yaml"]
    (line,) = (line for line in text.splitlines() if "SUTAZAI_EVENT_TYPES" in line)
    return set(line.split()[1:])


def test_what_is_written_is_what_is_declared_and_strays_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("events", "knative"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copy(ROOT / "stack.yml", tmp_path)
    monkeypatch.setattr(files, "ROOT", tmp_path)
    files.write()
    assert files.differing() == []
    stray = tmp_path / "knative/base/functions/nobody.yaml"
    stray.write_text("kind: Service\n")
    marked = tmp_path / "knative/components/old.yaml"
    marked.write_text(next((tmp_path / "knative/base/functions").glob("*.yaml")).read_text())
    changed = tmp_path / "stack.yml"
    changed.write_text(changed.read_text().replace("35s", "36s", 1))
    by_hand = tmp_path / "knative/base/broker.yaml"
    assert files.differing() == sorted([stray, marked, changed])
    assert files.write() == sorted([stray, marked, changed])
    assert files.differing() == []
    assert by_hand.exists() and not stray.exists() and not marked.exists()
