"""Asks each part how it is."""

import asyncio
import time
from urllib.parse import urlsplit

from pydantic import TypeAdapter

from shared.config import Settings
from shared.errors import Unavailable
from shared.mcp.bridge.state import BridgeState
from shared.ports.health import HealthReport, ServiceHealth
from shared.ports.vector_service import EngineState
from shared.stores.postgres.database import KEEPER_LOCK, Database
from shared.stores.redis import Cache
from shared.stores.vector_requests import VectorRequests
from shared.strict_json import load
from shared.version import VERSION

_PATIENCE_S = 1.5
_FRESH_S = 1.0
_PARTS = """
SELECT (SELECT count(*) FROM workers WHERE alive_until > now()) AS workers,
    EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = $1 AND database =
        (SELECT oid FROM pg_database WHERE datname = current_database())) AS keeper
"""


_EngineStates = TypeAdapter(list[EngineState])


class ProbedHealth:
    def __init__(
        self, *, database: Database, cache: Cache, settings: Settings, bridge: BridgeState, vectors: VectorRequests
    ) -> None:
        self._bridge = bridge
        self._vectors = vectors
        self._amqp = urlsplit(settings.amqp_url) if settings.amqp_url else None
        self._neo4j = urlsplit(settings.neo4j_url) if settings.neo4j_url else None
        self._database = database
        self._cache = cache
        self._asking = asyncio.Lock()
        self._report: HealthReport | None = None
        self._asked_at = float("-inf")

    async def report(self) -> HealthReport:
        async with self._asking:
            if self._report is None or time.monotonic() - self._asked_at > _FRESH_S:
                services = await self._record()
                services["redis"] = await self._redis()
                if self._amqp is not None:
                    services["rabbitmq"] = await _rabbitmq(self._amqp.hostname or "localhost", self._amqp.port or 5672)
                if self._neo4j is not None:
                    services["neo4j"] = await _neo4j(self._neo4j.hostname or "localhost", self._neo4j.port or 7687)
                if self._vectors.is_there:
                    services |= await self._engines()
                if (bridge := self._bridge.metrics.summary()) is not None:
                    state = "degraded" if self._bridge.failing else "ok"
                    services["mcp_bridge"] = ServiceHealth(status=state, detail=bridge)
                states = {service.status for service in services.values()}
                down = services["postgres"].status == "down"
                status = "down" if down else "degraded" if states != {"ok"} else "ok"
                self._report = HealthReport(status=status, version=VERSION, services=services)
                self._asked_at = time.monotonic()
            return self._report

    async def _record(self) -> dict[str, ServiceHealth]:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                row = await self._database.fetchrow(_PARTS, KEEPER_LOCK)
        except (Unavailable, TimeoutError):
            return {"postgres": ServiceHealth(status="down", detail="it cannot be reached")}
        assert row is not None
        return {
            "postgres": ServiceHealth(status="ok"),
            "keeper": ServiceHealth(status="ok")
            if row["keeper"]
            else ServiceHealth(status="down", detail="no keeper is active"),
            # Where agents scale to zero, having no worker is no fault.
            "workers": ServiceHealth(status="ok", detail=f"{row['workers']} alive"),
        }

    async def _engines(self) -> dict[str, ServiceHealth]:
        """While the service does not answer, the record answers searches."""
        try:
            said = load(await self._vectors.ask("/engines", b"", within_s=_PATIENCE_S))
        except Unavailable as exc:
            return {"vectors": ServiceHealth(status="down", detail=exc.message)}
        engines = _EngineStates.validate_python(said)
        states = {str(each.backend): ServiceHealth(status=each.status, detail=each.detail) for each in engines}
        return {"vectors": ServiceHealth(status="ok"), **states}

    async def _redis(self) -> ServiceHealth:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                alive = await self._cache.ping()
        except TimeoutError:
            alive = False
        return ServiceHealth(status="ok") if alive else ServiceHealth(status="down", detail="it does not answer")


async def _rabbitmq(host: str, port: int) -> ServiceHealth:
    """While it is away tasks are accepted, and wait in the record."""
    return await _greeted(host, port, b"AMQP\x00\x00\x09\x01", answered=1)


async def _neo4j(host: str, port: int) -> ServiceHealth:
    """While it is away only questions about the graph go without an answer."""
    return await _greeted(host, port, b"\x60\x60\xb0\x17\x00\x04\x04\x05".ljust(20, b"\x00"), answered=0)


async def _greeted(host: str, port: int, hello: bytes, *, answered: int) -> ServiceHealth:
    """The first frame of a protocol says that a server is up; importing drivers to ask would cost more than the rest.

    `answered`: the byte that its answer begins with.
    """
    try:
        async with asyncio.timeout(_PATIENCE_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(hello)
                answers = await reader.read(1) == bytes((answered,))
            finally:
                writer.close()
    except (OSError, TimeoutError):
        answers = False
    return ServiceHealth(status="ok") if answers else ServiceHealth(status="down", detail="it does not answer")
