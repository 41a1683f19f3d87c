"""A new version gets callers little by little, and loses them all when it meets more errors."""

import copy
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from shared.manifests.files import ROOT

Object = dict[str, Any]


def _loaded() -> Any:
    """It is a program of its own, in no package."""
    spec = importlib.util.spec_from_file_location("canary", ROOT / ".github/canary.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["canary"] = module
    spec.loader.exec_module(module)
    return module


canary = _loaded()

_POD = {
    "containers": [{"name": "keeper", "image": "sutazai/events", "args": ["serve", "keeper-keep"], "livenessProbe": {}}]
}
KEEPER: Object = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "keeper-keep"},
    "spec": {"template": {"metadata": {"labels": {"a": "b"}}, "spec": _POD}},
}
CONFIG: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "sutazai"}, "data": {"A": "new"}}


def _function(name: str) -> Object:
    template = {"spec": {"containers": [{"image": "sutazai/base"}]}}
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"template": template},
    }


class _Cluster:
    """A cluster that remembers; `refuse` says which command fails."""

    def __init__(self, refuse: Callable[[tuple[str, ...]], bool] = lambda _: False) -> None:
        old = _function("get-task")
        old["status"] = {"traffic": [{"revisionName": "get-task-1", "percent": 100}]}
        self.functions = {"get-task": old}
        self.standing: dict[str, Object] = {
            "deployment/keeper-keep": {**copy.deepcopy(KEEPER), "spec": {"template": {"spec": "old"}}},
            "configmap/sutazai": {**CONFIG, "data": {"A": "old"}},
        }
        self.traffic: list[tuple[str, list[Object]]] = []
        self.done: list[str] = []
        self._refuse = refuse

    def services(self) -> dict[str, Object]:
        return self.functions

    def read(self, *arguments: str, given: str | None = None) -> Any:
        return {"items": copy.deepcopy(list(self.standing.values()))}

    def run(self, *arguments: str, given: str | None = None) -> str:
        if self._refuse(arguments):
            raise canary.Failed(f"{arguments} is refused")
        self.done.append(" ".join(arguments[:2]))
        if arguments[0] == "apply":
            assert given is not None
            applied = json.loads(given)
            for each in applied.get("items", [applied]):
                self._apply(each)
        if arguments[0] == "patch":
            self._patch(arguments[1], json.loads(arguments[3].partition("=")[2]))
        return ""

    def split(self, name: str, traffic: list[Object]) -> None:
        self.traffic.append((name, traffic))

    def _apply(self, each: Object) -> None:
        name = f"{each['kind'].lower()}/{each['metadata']['name']}"
        self.done.append(f"applied {name}")
        if each["kind"] == "Service":
            self.traffic.append((each["metadata"]["name"], each["spec"].get("traffic", [])))
        else:
            self.standing[name] = each

    def _patch(self, name: str, patch: list[Object]) -> None:
        for step in patch:
            *folders, last = step["path"].strip("/").split("/")
            node = self.standing[name]
            for folder in folders:
                node = node[folder]
            node[last] = step["value"]


OBJECTS = [KEEPER, CONFIG, _function("get-task"), _function("new-one")]
CANARY = {"latestRevision": True, "tag": "canary"}


def _rollout(cluster: _Cluster, *rates: float | None) -> Any:
    """`rates`: what is answered when errors are asked for; the last one goes on."""
    waiting = list(rates)

    def errors() -> float | None:
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    return canary.Rollout(
        cluster=cluster, errors=errors, limit=0.01, step_s=45.0, say=lambda _: None, sleep=lambda _: None
    )


def _split(share: int) -> list[Object]:
    return [{"revisionName": "get-task-1", "percent": 100 - share}, {**CANARY, "percent": share}]


def test_a_good_version_gets_a_tenth_then_half_then_all_callers() -> None:
    cluster = _Cluster()
    _rollout(cluster, 0.002).run(OBJECTS)
    assert cluster.traffic == [
        ("get-task", _split(10)),
        ("new-one", []),
        ("get-task", _split(50)),
        ("get-task", [{"latestRevision": True, "percent": 100}]),
    ]


def test_the_database_is_brought_up_to_date_before_anybody_needs_it_by_the_keepers_pod() -> None:
    cluster = _Cluster()
    _rollout(cluster, 0.0).run(OBJECTS)
    applied = [step.removeprefix("applied ") for step in cluster.done if step.startswith("applied ")]
    assert applied == [
        "configmap/sutazai",
        "job/migrate",
        "deployment/keeper-keep",
        "service/get-task",
        "service/new-one",
    ]
    pod = cluster.standing["job/migrate"]["spec"]["template"]["spec"]
    container = {"name": "keeper", "image": "sutazai/events", "args": ["migrate"]}
    assert pod == {"containers": [container], "restartPolicy": "Never"}


@pytest.mark.parametrize("good_looks", [0, 2, 4, 7])
def test_more_errors_at_any_step_give_all_callers_back(good_looks: int) -> None:
    cluster = _Cluster()
    with pytest.raises(canary.Failed, match="of the answers are errors"):
        _rollout(cluster, 0.0, *[0.0] * good_looks, 0.3).run(OBJECTS)
    assert cluster.traffic[-1] == ("get-task", [{"revisionName": "get-task-1", "percent": 100}])
    assert cluster.standing["deployment/keeper-keep"]["spec"]["template"] == {"spec": "old"}
    assert cluster.standing["configmap/sutazai"]["data"] == {"A": "old"}


def test_a_tenth_of_the_callers_is_enough_to_show_that_a_version_fails() -> None:
    # A limit of 1 % of errors among the new ones' answers is 0.1 % among all.
    cluster = _Cluster()
    with pytest.raises(canary.Failed):
        _rollout(cluster, 0.0, 0.002).run(OBJECTS)
    assert cluster.traffic[-1] == ("get-task", [{"revisionName": "get-task-1", "percent": 100}])


def test_errors_that_were_there_before_are_not_held_against_it() -> None:
    cluster = _Cluster()
    _rollout(cluster, 0.2).run(OBJECTS)
    assert cluster.traffic[-1] == ("get-task", [{"latestRevision": True, "percent": 100}])


def test_one_look_that_fails_is_forgiven_and_three_in_a_row_are_not() -> None:
    _rollout(_Cluster(), 0.0, None, 0.0).run(OBJECTS)
    cluster = _Cluster()
    with pytest.raises(canary.Failed, match="any more"):
        _rollout(cluster, 0.0, None).run(OBJECTS)
    assert cluster.traffic[-1] == ("get-task", [{"revisionName": "get-task-1", "percent": 100}])


def test_nothing_is_begun_that_could_not_be_watched() -> None:
    cluster = _Cluster()
    with pytest.raises(canary.Failed, match="nobody tells"):
        _rollout(cluster, None).run(OBJECTS)
    assert (cluster.traffic, cluster.done) == ([], [])


@pytest.mark.parametrize(
    "what", [("wait", "services.serving.knative.dev"), ("wait", "job/migrate"), ("rollout", "status")]
)
def test_what_does_not_get_ready_is_taken_back(what: tuple[str, str]) -> None:
    cluster = _Cluster(refuse=lambda arguments: arguments[:2] == what)
    with pytest.raises(canary.Failed):
        _rollout(cluster, 0.0).run(OBJECTS)
    assert cluster.traffic[-1] == ("get-task", [{"revisionName": "get-task-1", "percent": 100}])
    assert cluster.standing["configmap/sutazai"]["data"] == {"A": "old"}


def test_what_cannot_be_taken_back_does_not_keep_the_rest() -> None:
    cluster = _Cluster(refuse=lambda arguments: arguments[:2] == ("patch", "deployment/keeper-keep"))
    with pytest.raises(canary.Failed):
        _rollout(cluster, 0.0, 0.5).run(OBJECTS)
    assert cluster.traffic[-1] == ("get-task", [{"revisionName": "get-task-1", "percent": 100}])
    assert cluster.standing["configmap/sutazai"]["data"] == {"A": "old"}


def test_a_rollout_that_was_left_half_way_is_no_version_to_go_back_to() -> None:
    cluster = _Cluster()
    cluster.functions["get-task"]["status"]["traffic"] = [
        {"revisionName": "get-task-2", "percent": 10},
        {"revisionName": "get-task-1", "percent": 90},
    ]
    _rollout(cluster, 0.0).run(OBJECTS)
    assert cluster.traffic[0] == ("get-task", _split(10))


def test_images_are_named_by_their_digests_and_none_is_left_out() -> None:
    images = {"sutazai/base": "ghcr.io/a/b/base@sha256:1", "sutazai/events": "ghcr.io/a/b/events@sha256:2"}
    made = canary.with_images([KEEPER, _function("a"), {"image": "docker.io/other:1"}], images)
    assert made[0]["spec"]["template"]["spec"]["containers"][0]["image"] == "ghcr.io/a/b/events@sha256:2"
    assert made[1]["spec"]["template"]["spec"]["containers"][0]["image"] == "ghcr.io/a/b/base@sha256:1"
    assert made[2] == {"image": "docker.io/other:1"}
    for named in ("localhost:5000/sutazai/base:0.1.0", "registry.example.org/sutazai/base@sha256:0"):
        assert canary.with_images([{"image": named}], images) == [{"image": "ghcr.io/a/b/base@sha256:1"}]
    with pytest.raises(canary.Failed, match="'sutazai/base' was not built"):
        canary.with_images([_function("a")], {})


@contextmanager
def _prometheus(status: int, body: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _result(*values: str) -> bytes:
    return json.dumps({"data": {"result": [{"value": [0, value]} for value in values]}}).encode()


@pytest.mark.parametrize(
    "status, body, rate",
    [
        (200, _result("0.25"), 0.25),
        (200, _result(), 0.0),
        (200, _result("NaN"), 0.0),
        (200, b"{}", None),
        (200, b"oops", None),
        (500, _result("0.25"), None),
    ],
)
def test_errors_are_what_prometheus_says(status: int, body: bytes, rate: float | None) -> None:
    with _prometheus(status, body) as url:
        assert canary.prometheus(url, "a/b")() == rate


_KUBECTL = """#!{python}
import json, os, sys
with open(os.environ["SAID"], "a") as said:
    said.write(json.dumps(sys.argv[1:]) + "\\n")
command = sys.argv[2]
if command == "kustomize":
    print(open(os.environ["RENDERED"]).read())
elif command == "get":
    print(json.dumps({{"items": []}}))
"""


@pytest.mark.parametrize("rate, status", [("0", 0), ("0.5", 0)])
def test_the_program_renders_applies_and_waits(tmp_path: Path, rate: str, status: int) -> None:
    kubectl, said, images, rendered = (tmp_path / name for name in ("kubectl", "said", "images.json", "rendered"))
    kubectl.write_text(_KUBECTL.format(python=sys.executable))
    kubectl.chmod(0o755)
    rendered.write_text("\n---\n".join(json.dumps(each) for each in OBJECTS))
    images.write_text(json.dumps({"sutazai/base": "r/base@sha256:1", "sutazai/events": "r/events@sha256:2"}))
    with _prometheus(200, _result(rate)) as url:
        done = _program(tmp_path, "--overlay", "o", "--images", str(images), "--step-s", "0.01", PROMETHEUS_URL=url)
    assert (done.returncode, done.stderr) == (status, "")
    commands = [json.loads(line)[1] for line in said.read_text().splitlines()]
    assert commands[0] == "kustomize"
    assert commands.count("apply") == 4
    assert "wait" in commands


def test_the_program_says_what_is_missing(tmp_path: Path) -> None:
    done = _program(tmp_path, "--overlay", "o", "--images", "i")
    assert (done.returncode, done.stderr) == (1, "canary: PROMETHEUS_URL says nothing\n")


def _program(tmp_path: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SAID": str(tmp_path / "said"),
        "RENDERED": str(tmp_path / "rendered"),
        **environ,
    }
    command = [sys.executable, str(ROOT / ".github/canary.py"), *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
