"""What is deployed, as it follows from the declarations: whatever a platform is given renders from this list."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from math import ceil, isinf
from typing import Literal

from events.tasks import TaskQueued
from shared.catalog import agents, shown_by
from shared.config import Settings
from shared.endpoints import result_type
from shared.function import Every, Mcp, OnEvent, Scale, Service, Spec, Tool, Trigger, WebSocket
from shared.manifests.images import FAMILIES, extras_of, family_of
from shared.manifests.needs import Needs, needs_of
from shared.ports.functions import Functions
from shared.streams import Stream

# A function comes and goes with its requests; a deployment is always there; a statefulset has disks of its own.
Kind = Literal["function", "deployment", "statefulset"]

# Where every container listens, and where its Service does.
PORT = 8080
SERVICE_PORT = 80
NAMESPACE = "sutazai"
# The longest that Knative lets a request take; a socket's is what a gateway may wait for its next frame.
_LONGEST_S, _SOCKET_S = 600, 3600
# So that a function that is late says so itself.
_MARGIN_S = 5
# Settings that nobody prints are secrets; those that end so are where a store is.
_URL = "_url"
_SECRETS = frozenset(field.name for field in fields(Settings) if not field.repr)
_STORES = {name: name.removesuffix(_URL) for name in _SECRETS if name.endswith(_URL)} | {"amqp_url": "rabbitmq"}
# Where a platform puts them is not for its operator to say.
_PLACED = frozenset({"files_dir", "home", "keys_dir", "objects_dir", "vectors_dir", "worker_slot"})
_ALWAYS_ON = Scale(min=1, max=1)
_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """CloudEvents that wake it, by exact attributes."""

    type: str
    agent: str | None = None

    @property
    def attributes(self) -> dict[str, str]:
        return {"type": self.type, **({"agent": self.agent} if self.agent else {})}


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployable:
    """One container under one name: its Service's, and a DNS label."""

    name: str
    kind: Kind
    # The package of functions or the agent, under whose account it runs.
    group: str
    family: str
    extras: tuple[str, ...]
    scale: Scale
    # Of the longest request that it answers.
    timeout_s: int
    # Variables whose values are no secrets.
    env: tuple[str, ...]
    # Stores, such as postgres, redis and rabbitmq, whose addresses are secrets.
    stores: tuple[str, ...]
    # Other settings that are secrets.
    private: tuple[str, ...] = ()
    # Key files, without their suffix; `signing` stands for all that sign.
    keys: tuple[str, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()
    # Whether anything but a probe calls it.
    answers: bool = True
    # It runs actions.
    acts: bool = False
    # It works on the folder of users' files, which all who do must find the same.
    shares_files: bool = False
    disk_gib: int = 0
    # It speaks to peers that its callers name.
    leaves: bool = False
    # It brings functions what wakes them, where no broker of the platform does.
    carries: bool = False
    live_path: str = "/health/live"
    ready_path: str = "/health/ready"

    @property
    def args(self) -> tuple[str, ...]:
        """What its image is started with."""
        return "serve", self.name

    @property
    def installed(self) -> tuple[str, ...]:
        """The extras that its family's image has, its own among them."""
        return tuple(sorted(FAMILIES[self.family]))

    @property
    def concurrency(self) -> int:
        """Requests at once to one replica; 0 is no bound."""
        return self.scale.target if self.scale.metric == "concurrency" else 0


UI = Deployable(
    name="ui",
    kind="deployment",
    group="ui",
    family="ui",
    extras=("ui",),
    # A page's state lives in the process that drew it.
    scale=_ALWAYS_ON,
    timeout_s=_SOCKET_S,
    env=("SUTAZAI_API_URL", "SUTAZAI_HOSTS", "SUTAZAI_PUBLIC_API_URL"),
    stores=(),
    keys=("ui",),
    live_path="/_stcore/health",
    ready_path="/_stcore/health",
)


def deployables(specs: Sequence[Spec], *, per_action: bool = False) -> tuple[Deployable, ...]:
    """In order of name: one for each agent, one for each other function, and the UI.

    `per_action`: each action is one too, and runs the agent's tasks of its kind; the agent's own runs what callers wait
    for. Raises ValueError where a name is no DNS label, or several share it.
    """
    alone = [spec for spec in specs if per_action or not isinstance(spec.trigger, Tool)]
    found = [UI, *(_deployable(spec.deployed, (spec,)) for spec in alone)]
    for agent, actions in agents(tuple(specs)).items():
        whole = _deployable(agent, actions)
        found.append(replace(whole, subscriptions=()) if per_action else whole)
    for name, count in Counter(each.name for each in found).items():
        if count > 1 or not _LABEL.fullmatch(name):
            raise ValueError(f"{count} deployables are named {name!r}: a name is one DNS label, and one's own")
    return tuple(sorted(found, key=lambda each: each.name))


def _deployable(name: str, specs: Sequence[Spec]) -> Deployable:
    trigger = specs[0].trigger
    # What an agent shows, it serves beside its actions.
    needs = needs_of([*specs, *(shown_by(specs[0].agent) if isinstance(trigger, Tool) else ())])
    extras = extras_of(needs.packages)
    disk_gib = trigger.disk_gib if isinstance(trigger, Service) else 0
    return Deployable(
        name=name,
        kind=_kind(trigger, needs),
        group=specs[0].package.replace(".", "-").replace("_", "-"),
        family=family_of(extras),
        extras=tuple(sorted(extras)),
        scale=_scale(specs),
        timeout_s=max(map(_timeout_s, specs)),
        env=tuple(sorted(f"SUTAZAI_{setting.upper()}" for setting in needs.settings - _SECRETS - _PLACED)),
        private=tuple(sorted(needs.settings & _SECRETS - _STORES.keys())),
        stores=tuple(sorted(_STORES[setting] for setting in needs.settings & _STORES.keys())),
        keys=tuple(sorted(needs.keys)),
        subscriptions=tuple(dict.fromkeys(wakes for spec in specs for wakes in _subscriptions(spec))),
        answers=disk_gib > 0 or not isinstance(trigger, Every | Service),
        acts=isinstance(trigger, Tool),
        shares_files=needs.files,
        disk_gib=disk_gib,
        leaves="egress_allow" in needs.settings,
        carries=any(port is Functions for spec in specs for port in spec.ports.values()),
    )


def _kind(trigger: Trigger, needs: Needs) -> Kind:
    if isinstance(trigger, Service) and trigger.disk_gib:
        return "statefulset"
    # Neither platform gives a function a disk, and a socket would end with the request that it is.
    always = isinstance(trigger, Every | Service | WebSocket) or needs.files
    return "deployment" if always else "function"


def _scale(specs: Sequence[Spec]) -> Scale:
    """Of an agent: as many as its most wanted action may have, and no more at once than its heaviest bears."""
    if isinstance(specs[0].trigger, Every):
        return _ALWAYS_ON
    scales = [spec.scale for spec in specs]
    lowest, highest = max(scale.min for scale in scales), max(scale.max for scale in scales)
    return Scale(min=lowest, max=highest, target=min(scale.target for scale in scales), metric=scales[0].metric)


def _timeout_s(spec: Spec) -> int:
    if isinstance(spec.trigger, WebSocket):
        return _SOCKET_S
    # A wake-up's request goes on for as long as there is work, a stream for as long as its reader stays.
    if isinstance(spec.trigger, Mcp | Tool) or isinf(spec.timeout_s) or result_type(spec) is Stream:
        return _LONGEST_S
    return min(ceil(spec.timeout_s) + _MARGIN_S, _LONGEST_S)


def _subscriptions(spec: Spec) -> Iterator[Subscription]:
    if isinstance(spec.trigger, OnEvent) and spec.trigger.event.carried:
        yield Subscription(type=spec.trigger.event.type)
    elif isinstance(spec.trigger, Tool):
        yield Subscription(type=TaskQueued.type, agent=spec.agent)
