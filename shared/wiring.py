"""Which adapter stands behind each port: strings, so that a driver is imported when its port is opened."""

import importlib
from contextlib import AsyncExitStack
from typing import Any, Self, TypeVar, cast, get_type_hints

from shared.config import Settings
from shared.function import Spec

P = TypeVar("P")

ADAPTERS: dict[str, str] = {
    "shared.ports.agents.Agents": "shared.stores.postgres.agents.PostgresAgents",
    "shared.ports.api_keys.ApiKeys": "shared.stores.postgres.api_keys.PostgresApiKeys",
    "shared.ports.bus.Bus": "shared.stores.postgres.bus.PostgresBus",
    "shared.ports.callbacks.Callbacks": "shared.stores.postgres.callbacks.PostgresCallbacks",
    "shared.ports.egress.Egress": "shared.stores.egress.gate.HttpEgress",
    "shared.ports.egress.Resolver": "shared.stores.egress.resolver.SystemResolver",
    "shared.ports.dead_letters.DeadLetters": "shared.stores.postgres.dead_letters.PostgresDeadLetters",
    "shared.ports.extended_memory.ExtendedMemory": "shared.stores.postgres.extended_memory.PostgresExtendedMemory",
    "shared.ports.files.Files": "shared.stores.files.FolderFiles",
    "shared.ports.functions.Functions": "shared.stores.functions.HttpFunctions",
    "shared.ports.health.Health": "shared.stores.health.ProbedHealth",
    "shared.ports.idempotency.Idempotency": "shared.stores.postgres.idempotency.PostgresIdempotency",
    "shared.ports.ledger.Ledger": "shared.stores.postgres.ledger.PostgresLedger",
    "shared.ports.limits.Limits": "shared.stores.limits.RedisLimits",
    "shared.ports.live.AgentFeed": "shared.stores.postgres.agent_feed.PolledAgentFeed",
    "shared.ports.live.SessionWatch": "shared.stores.postgres.session_watch.PostgresSessionWatch",
    "shared.ports.live.SocketCount": "shared.stores.socket_count.LeasedSocketCount",
    "shared.ports.live.TaskFeed": "shared.stores.postgres.task_feed.PostgresTaskFeed",
    "shared.ports.memory.Memory": "shared.stores.postgres.memory.PostgresMemory",
    "shared.ports.memory_bank.MemoryBank": "shared.stores.postgres.memory_bank.PostgresMemoryBank",
    "shared.ports.objects.Objects": "shared.stores.objects.folder.FolderObjects",
    "shared.ports.pages.Pages": "shared.stores.pages.RedisPages",
    "shared.ports.passwords.Passwords": "shared.stores.passwords.Argon2Passwords",
    "shared.ports.schedules.Schedules": "shared.stores.postgres.schedules.PostgresSchedules",
    "shared.ports.sessions.Sessions": "shared.stores.sessions.CachedSessions",
    "shared.ports.signatures.Signatures": "shared.stores.signatures.Ed25519Signatures",
    "shared.ports.signals.Signals": "shared.stores.postgres.signals.PostgresSignals",
    "shared.ports.tasks.Queue": "shared.stores.postgres.queue.PostgresQueue",
    "shared.ports.tasks.Tasks": "shared.stores.postgres.tasks.PostgresTasks",
    "shared.ports.thoughts.Thoughts": "shared.stores.postgres.thoughts.PostgresThoughts",
    "shared.ports.throttle.Throttle": "shared.stores.throttle.RedisThrottle",
    "shared.ports.tokens.Tokens": "shared.stores.tokens.SignedTokens",
    "shared.ports.ui_sessions.UiSessions": "shared.stores.postgres.ui_sessions.PostgresUiSessions",
    "shared.ports.upkeep.Upkeep": "shared.stores.postgres.upkeep.PostgresUpkeep",
    "shared.ports.users.Users": "shared.stores.postgres.users.PostgresUsers",
    "shared.ports.vectors.Collections": "shared.stores.postgres.collections.PostgresCollections",
    "shared.ports.vectors.Truth": "shared.stores.postgres.vector_truth.PostgresTruth",
    "shared.ports.vectors.Vectors": "shared.stores.postgres.vectors.PostgresVectors",
}

# In place of those above, where the setting is there.
INSTEAD: dict[str, dict[str, str]] = {
    "amqp_url": {"shared.ports.bus.Bus": "shared.stores.rabbitmq.bus.RabbitBus"},
    "s3_url": {"shared.ports.objects.Objects": "shared.stores.objects.s3.S3Objects"},
}

# What a function gets anew with each call, so no adapter stands behind it.
PER_CALL = frozenset({f"shared.function.{name}" for name in ("Call", "Caller", "Run")} | {"events.base.Envelope"})


class Ports:
    """Opens ports on demand, each once, with what their adapters need in turn; closes them in reverse order.

    An adapter is a class whose keyword-only constructor parameters are ports, adapters or Settings. Where it has
    `__aenter__`, that runs before anyone gets it.
    """

    def __init__(self, settings: Settings, overrides: dict[type, object] | None = None) -> None:
        self.settings = settings
        self._opened: dict[type, object] = {Settings: settings, **(overrides or {})}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def open(self, port: type[P]) -> P:
        """Raises LookupError for a port without an adapter."""
        if port not in self._opened:
            self._opened[port] = await self._make(_adapter(port, self.settings))
        return cast(P, self._opened[port])

    async def of(self, spec: Spec) -> dict[str, object]:
        """What a function's keyword-only parameters get, but for what differs from call to call."""
        return {name: await self.open(port) for name, port in spec.ports.items() if _name(port) not in PER_CALL}

    async def _make(self, adapter: type) -> object:
        if adapter in self._opened:
            return self._opened[adapter]
        made: Any = adapter(**{name: await self.open(need) for name, need in _needs(adapter).items()})
        if hasattr(made, "__aenter__"):
            made = await self._stack.enter_async_context(made)
        self._opened[adapter] = made
        return cast(object, made)


def _needs(adapter: type) -> dict[str, type]:
    """What its constructor takes, by parameter."""
    constructor = vars(adapter).get("__init__")
    if constructor is None:
        return {}
    return {name: need for name, need in get_type_hints(constructor).items() if name != "return"}


def import_adapters(spec: Spec) -> None:
    """Imports what opening a function's ports would, and opens nothing."""
    for port in spec.ports.values():
        if _name(port) not in PER_CALL:
            _import_needs(_adapter(port, None))


def _import_needs(adapter: type) -> None:
    for need in _needs(adapter).values():
        if need is not Settings:
            _import_needs(_adapter(need, None))


def _adapter(port: type, settings: Settings | None) -> type:
    name = _name(port)
    if name not in ADAPTERS and not getattr(port, "_is_protocol", False):
        return port
    if name not in ADAPTERS:
        raise LookupError(f"no adapter stands behind {name}")
    chosen = ADAPTERS[name]
    for setting, adapters in INSTEAD.items():
        if settings is not None and getattr(settings, setting):
            chosen = adapters.get(name, chosen)
    module, _, attribute = chosen.rpartition(".")
    return cast(type, getattr(importlib.import_module(module), attribute))


def _name(port: type) -> str:
    return f"{port.__module__}.{port.__qualname__}"
