"""Brings a new version to a cluster of Knative step by step, and takes it back when callers meet more errors.

New revisions get a share of the traffic, are watched, and get more. Whatever goes wrong on the way, a signal included,
gives all traffic back to the revisions that had it, and what is always there its old template. It needs kubectl.
"""

import argparse
import copy
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]

SHARES = (10, 50)
KEEPER = "keeper-keep"
# What callers are answered with, as Kong counts it.
QUERY = 'sum(rate(kong_http_requests_total{code=~"5.."}[2m])) / sum(rate(kong_http_requests_total[2m]))'
_LOOK_EVERY_S = 15.0
_BLIND_AT_MOST = 3
_READY_S = 600
# What of an object is put back; what it does not have, it did not have before.
_KEPT = {"ConfigMap": "data", "Deployment": "template", "StatefulSet": "template"}


class Failed(Exception):
    """The new version is not what it should be."""


@dataclass(kw_only=True)
class Cluster:
    """What kubectl says and does, in one namespace."""

    namespace: str

    def read(self, *arguments: str, given: str | None = None) -> Any:
        return json.loads(self.run(*arguments, "--output=json", given=given))

    def run(self, *arguments: str, given: str | None = None) -> str:
        command = ["kubectl", f"--namespace={self.namespace}", *arguments]
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=_READY_S + 60)  # noqa: S603
        if done.returncode != 0:
            raise Failed(f"{' '.join(command[:4])} failed: {done.stderr.strip()}")
        return done.stdout

    def services(self) -> dict[str, Object]:
        return {each["metadata"]["name"]: each for each in self.read("get", "services.serving.knative.dev")["items"]}

    def split(self, name: str, traffic: Sequence[Object]) -> None:
        patch = json.dumps({"spec": {"traffic": list(traffic)}})
        self.run("patch", f"services.serving.knative.dev/{name}", "--type=merge", f"--patch={patch}")


@dataclass(kw_only=True)
class Rollout:
    cluster: Cluster
    errors: Callable[[], float | None]
    limit: float
    step_s: float
    say: Callable[[str], object] = lambda line: sys.stdout.write(f"{line}\n")
    sleep: Callable[[float], None] = time.sleep
    # What each had before; those that are new had nothing, and stay.
    _before: dict[str, str] = field(default_factory=dict)
    _patches: dict[str, str] = field(default_factory=dict)

    def run(self, objects: Sequence[Object]) -> None:
        """Raises Failed, after all is as it was."""
        baseline = self.errors()
        if baseline is None:
            raise Failed("nobody tells how many errors there are, so nobody could tell whether there are more")
        self.say(f"{baseline:.2%} of the answers are errors now")
        try:
            self._bring(objects, baseline)
        except BaseException as exc:
            self.say(f"taken back: {exc!r}")
            self._take_back()
            raise

    def _bring(self, objects: Sequence[Object], baseline: float) -> None:
        running = self.cluster.services()
        self._before = {name: ready for name, each in running.items() if (ready := _ready_revision(each))}
        self._patches = self._keep()
        functions = [each for each in objects if _is_function(each)]
        standing = [each for each in objects if _KEPT.get(each["kind"]) == "template"]
        self._apply([each for each in objects if each not in functions and each not in standing])
        self._migrate(standing)
        self._apply(standing)
        self._apply([self._with_traffic(each, SHARES[0]) for each in functions])
        self.cluster.run(
            *("wait", "services.serving.knative.dev", "--all", "--for=condition=Ready", f"--timeout={_READY_S}s")
        )
        for share, following in zip(SHARES, (*SHARES[1:], 100), strict=True):
            self._watch(share, baseline)
            for each in functions:
                if (name := each["metadata"]["name"]) in self._before:
                    self.cluster.split(name, self._traffic(name, following))
            self.say(f"new revisions get {following} %")
        self._watch(100, baseline)

    def _apply(self, objects: Sequence[Object]) -> None:
        if not objects:
            return
        self.cluster.run(
            "apply", "--filename=-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        )
        for each in objects:
            if _KEPT.get(each["kind"]) == "template":
                self.cluster.run("rollout", "status", _named(each), f"--timeout={_READY_S}s")

    def _migrate(self, standing: Sequence[Object]) -> None:
        """Migrations leave a database that the version before can use too, so these are not taken back."""
        for each in standing:
            if each["metadata"]["name"] == KEEPER:
                job = _migration(each)
                self.cluster.run("delete", "job", job["metadata"]["name"], "--ignore-not-found", "--wait")
                self.cluster.run("apply", "--filename=-", given=json.dumps(job))
                self.cluster.run("wait", _named(job), "--for=condition=Complete", f"--timeout={_READY_S}s")

    def _keep(self) -> dict[str, str]:
        found = self.cluster.read(
            "get", "configmaps,deployments,statefulsets", "--selector=!serving.knative.dev/service"
        )
        return {_named(each): _patch_back(each) for each in found["items"]}

    def _with_traffic(self, each: Object, share: int) -> Object:
        name = each["metadata"]["name"]
        if name not in self._before:
            return each
        return {**each, "spec": {**each["spec"], "traffic": self._traffic(name, share)}}

    def _traffic(self, name: str, share: int) -> list[Object]:
        latest = {"latestRevision": True, "percent": share}
        if share == 100:
            return [latest]
        return [{"revisionName": self._before[name], "percent": 100 - share}, {**latest, "tag": "canary"}]

    def _watch(self, share: int, baseline: float) -> None:
        """A few errors among few requests say nothing yet; what the new ones add has to show in their share."""
        blind = 0
        bound = baseline + self.limit * share / 100
        every = min(_LOOK_EVERY_S, self.step_s)
        for _ in range(max(1, round(self.step_s / _LOOK_EVERY_S))):
            self.sleep(every)
            rate = self.errors()
            blind = blind + 1 if rate is None else 0
            if blind >= _BLIND_AT_MOST:
                raise Failed("nobody tells how many errors there are any more")
            if rate is not None and rate > bound:
                raise Failed(f"{rate:.2%} of the answers are errors, more than {bound:.2%}")

    def _take_back(self) -> None:
        """As much of it as can be, whatever fails on the way."""
        for name, revision in self._before.items():
            self._try(lambda n=name, r=revision: self.cluster.split(n, [{"revisionName": r, "percent": 100}]))
        for name, patch in self._patches.items():
            self._try(lambda n=name, p=patch: self.cluster.run("patch", n, "--type=json", f"--patch={p}"))

    def _try(self, step: Callable[[], object]) -> None:
        try:
            step()
        except (Failed, subprocess.SubprocessError) as exc:
            self.say(f"this has to be looked after: {exc}")


def _migration(keeper: Object) -> Object:
    """The keeper's pod, which may do with the database what it likes, with another command."""
    pod = copy.deepcopy(keeper["spec"]["template"]["spec"])
    for container in pod["containers"]:
        container["args"] = ["migrate"]
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            container.pop(probe, None)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "migrate", **({"namespace": n} if (n := keeper["metadata"].get("namespace")) else {})},
        "spec": {
            "backoffLimit": 2,
            "activeDeadlineSeconds": _READY_S,
            "template": {
                "metadata": {"labels": keeper["spec"]["template"]["metadata"].get("labels", {})},
                "spec": {**pod, "restartPolicy": "Never"},
            },
        },
    }


def _named(each: Object) -> str:
    return f"{each['kind'].lower()}/{each['metadata']['name']}"


def _patch_back(each: Object) -> str:
    if _KEPT[each["kind"]] == "data":
        return json.dumps([{"op": "add", "path": "/data", "value": each.get("data", {})}])
    return json.dumps([{"op": "replace", "path": "/spec/template", "value": each["spec"]["template"]}])


def _is_function(each: Object) -> bool:
    return str(each["apiVersion"]).startswith("serving.knative.dev/") and each["kind"] == "Service"


def _ready_revision(each: Object) -> str | None:
    """The one that most callers reach, not one that a rollout before has left half way."""
    traffic = [part for part in each.get("status", {}).get("traffic", ()) if part.get("revisionName")]
    best = max(traffic, key=lambda part: part.get("percent") or 0, default=None)
    return best["revisionName"] if best else None


def with_images(objects: Sequence[Object], images: Mapping[str, str]) -> list[Object]:
    """Each image by its digest. Raises Failed for one of ours that has none."""

    def found(node: Any) -> Any:
        if isinstance(node, list):
            return [found(each) for each in node]
        if not isinstance(node, dict):
            return node
        made = {name: found(value) for name, value in node.items()}
        name = node.get("image")
        if isinstance(name, str) and name.partition("@")[0].rpartition("/")[0].endswith("sutazai"):
            # Whatever registry the overlay has named.
            built = f"sutazai/{name.partition('@')[0].rpartition('/')[2].partition(':')[0]}"
            if built not in images:
                raise Failed(f"{built!r} was not built")
            made["image"] = images[built]
        return made

    return [found(each) for each in objects]


def prometheus(url: str, query: str) -> Callable[[], float | None]:
    """The share of errors, 0 where nobody asks anything; None where it cannot be told."""

    def ask() -> float | None:
        asked = f"{url.rstrip('/')}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        try:
            with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310 - an operator's own address
                result = json.load(answer)["data"]["result"]
            value = float(result[0]["value"][1]) if result else 0.0
        except (OSError, ValueError, KeyError, IndexError, TypeError):
            return None
        # Nothing divided by nothing.
        return 0.0 if value != value else value

    return ask


def _stop(number: int, _: object) -> None:
    raise Failed(f"ended by {signal.Signals(number).name}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--overlay", required=True)
    parser.add_argument("--images", type=Path, required=True, help="JSON: each image, and what it is by digest")
    parser.add_argument("--namespace", default="sutazai")
    parser.add_argument("--limit", type=float, default=0.01, help="share of errors more than before")
    parser.add_argument("--step-s", type=float, default=300.0)
    asked = parser.parse_args()
    if not (url := os.environ.get("PROMETHEUS_URL")):
        sys.stderr.write("canary: PROMETHEUS_URL says nothing\n")
        return 1
    signal.signal(signal.SIGTERM, _stop)
    cluster = Cluster(namespace=asked.namespace)
    try:
        rendered = cluster.run("kustomize", asked.overlay)
        listed = [each for each in yaml.safe_load_all(rendered) if each]
        objects = with_images(listed, json.loads(asked.images.read_text()))
        errors = prometheus(url, os.environ.get("CANARY_QUERY") or QUERY)
        Rollout(cluster=cluster, errors=errors, limit=asked.limit, step_s=asked.step_s).run(objects)
    except (Failed, OSError, ValueError, subprocess.SubprocessError) as exc:
        sys.stderr.write(f"canary: {exc}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
