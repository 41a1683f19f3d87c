"""Which adapter stands behind each port: strings, so that a driver is imported when its port is opened."""

import importlib
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any, Self, TypeVar, cast, get_type_hints

from shared.config import Settings
from shared.function import Spec

P = TypeVar("P")

ADAPTERS: dict[str, str] = {
    "shared.ports.agent_servers.AgentServers": "shared.stores.agent_servers.WorkerAgents",
    "shared.ports.agents.Agents": "shared.stores.postgres.agents.PostgresAgents",
    "shared.ports.api_keys.ApiKeys": "shared.stores.postgres.api_keys.PostgresApiKeys",
    "shared.ports.bus.Bus": "shared.stores.postgres.bus.PostgresBus",
    "shared.ports.callbacks.Callbacks": "shared.stores.postgres.callbacks.PostgresCallbacks",
    "shared.ports.capabilities.Capabilities": "shared.stores.capabilities.SignedCapabilities",
    "shared.ports.document_ties.DocumentTies": "shared.stores.postgres.document_ties.PostgresDocumentTies",
    "shared.ports.documents.Documents": "shared.stores.postgres.documents.PostgresDocuments",
    "shared.ports.documents.Indexing": "shared.stores.postgres.document_work.PostgresIndexing",
    "shared.ports.documents.Leavings": "shared.stores.postgres.document_work.PostgresLeavings",
    "shared.ports.egress.Egress": "shared.stores.egress.gate.HttpEgress",
    "shared.ports.egress.Outside": "shared.stores.egress.gate.HttpEgress",
    "shared.ports.egress.Resolver": "shared.stores.egress.resolver.SystemResolver",
    "shared.ports.dead_letters.DeadLetters": "shared.stores.postgres.dead_letters.PostgresDeadLetters",
    "shared.ports.extended_memory.ExtendedMemory": "shared.stores.postgres.extended_memory.PostgresExtendedMemory",
    "shared.ports.files.Files": "shared.stores.files.FolderFiles",
    "shared.ports.functions.Functions": "shared.stores.functions.HttpFunctions",
    "shared.ports.graph.Analysis": "shared.stores.postgres.graph.NoAnalysis",
    "shared.ports.graph.Facts": "shared.stores.postgres.graph_stars.PostgresStars",
    "shared.ports.graph.Gathering": "shared.stores.postgres.graph_gathering.PostgresGathering",
    "shared.ports.graph.Graph": "shared.stores.postgres.graph.PostgresGraph",
    "shared.ports.graph.GraphEngine": "shared.stores.postgres.graph_engine.PostgresGraphEngine",
    "shared.ports.health.Health": "shared.stores.health.ProbedHealth",
    "shared.ports.idempotency.Idempotency": "shared.stores.postgres.idempotency.PostgresIdempotency",
    "shared.ports.ledger.Ledger": "shared.stores.postgres.ledger.PostgresLedger",
    "shared.ports.limits.Limits": "shared.stores.limits.RedisLimits",
    "shared.ports.live.AgentFeed": "shared.stores.postgres.agent_feed.PolledAgentFeed",
    "shared.ports.live.SessionWatch": "shared.stores.postgres.session_watch.PostgresSessionWatch",
    "shared.ports.live.SocketCount": "shared.stores.socket_count.LeasedSocketCount",
    "shared.ports.live.TaskFeed": "shared.stores.postgres.task_feed.PostgresTaskFeed",
    "shared.ports.mailboxes.Mailboxes": "shared.stores.mailboxes.SignalledMailboxes",
    "shared.ports.mcp_sessions.McpSessions": "shared.stores.mcp_sessions.RedisMcpSessions",
    "shared.ports.mcp_servers.McpServers": "shared.stores.postgres.mcp_servers.PostgresMcpServers",
    "shared.ports.memory.Memory": "shared.stores.postgres.memory.PostgresMemory",
    "shared.ports.memory_bank.MemoryBank": "shared.stores.postgres.memory_bank.PostgresMemoryBank",
    "shared.ports.oauth.Clients": "shared.stores.oauth_clients.FetchedClients",
    "shared.ports.oauth.Grants": "shared.stores.postgres.oauth.PostgresGrants",
    "shared.ports.oauth.Identities": "shared.stores.postgres.oauth_identities.PostgresIdentities",
    "shared.ports.oauth.Outside": "shared.stores.outside_tokens.VerifiedOutside",
    "shared.ports.oauth.Seals": "shared.stores.oauth_seals.KeyedSeals",
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
    "shared.ports.vector_answers.VectorAnswers": "shared.stores.vector_answers.RedisVectorAnswers",
    "shared.ports.vector_engine.Chroma": "shared.stores.chroma.local.ChromaLocal",
    "shared.ports.vector_engine.Faiss": "shared.stores.faiss.engine.FaissEngine",
    "shared.ports.vector_engine.Qdrant": "shared.stores.qdrant.edge.QdrantEdge",
    "shared.ports.vector_service.VectorService": "shared.stores.vector_service.HttpVectorService",
    "shared.ports.vectors.Collections": "shared.stores.postgres.collections.PostgresCollections",
    "shared.ports.vectors.Truth": "shared.stores.postgres.vector_truth.PostgresTruth",
    "shared.ports.vectors.Vectors": "shared.stores.postgres.vectors.PostgresVectors",
}

# In place of those above, where the setting is there.
INSTEAD: dict[str, dict[str, str]] = {
    "amqp_url": {"shared.ports.bus.Bus": "shared.stores.rabbitmq.bus.RabbitBus"},
    "chroma_url": {"shared.ports.vector_engine.Chroma": "shared.stores.chroma.server.ChromaServer"},
    "neo4j_url": {
        "shared.ports.graph.Analysis": "shared.stores.neo4j.analysis.Neo4jAnalysis",
        "shared.ports.graph.Graph": "shared.stores.neo4j.graph.Neo4jGraph",
        "shared.ports.graph.GraphEngine": "shared.stores.neo4j.engine.Neo4jGraphEngine",
    },
    "qdrant_url": {"shared.ports.vector_engine.Qdrant": "shared.stores.qdrant.server.QdrantServer"},
    "s3_url": {"shared.ports.objects.Objects": "shared.stores.objects.s3.S3Objects"},
    "function_url": {"shared.ports.agent_servers.AgentServers": "shared.stores.agent_servers.ServiceAgents"},
}

# What a function gets anew with each call, so no adapter stands behind it.
PER_CALL = frozenset(
    {f"shared.function.{name}" for name in ("Call", "Caller", "Log", "Run")} | {"events.base.Envelope"}
)


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
        for _ in adapters_of(port):
            pass


def adapters_of(port: type, settings: Settings | None = None) -> Iterator[type]:
    """What opening a port would make: its adapter, what that needs, and so on."""
    if port is Settings or _name(port) in PER_CALL:
        return
    adapter = _adapter(port, settings)
    yield adapter
    for need in _needs(adapter).values():
        yield from adapters_of(need, settings)


def named(name: str) -> type:
    """A port or an adapter by its dotted name."""
    module, _, attribute = name.rpartition(".")
    return cast(type, getattr(importlib.import_module(module), attribute))


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
    return named(chosen)


def _name(port: type) -> str:
    return f"{port.__module__}.{port.__qualname__}"
