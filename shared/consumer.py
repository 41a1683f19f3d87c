"""Functions that consume domain events, wherever the events come from."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

from pydantic import ValidationError

from events.base import Envelope
from events.dead_letters import EventUndelivered
from shared import cloud_events
from shared.asgi import Answer, Request
from shared.errors import SutazaiError, Unavailable
from shared.function import MIB, OnEvent, Spec
from shared.ports.dead_letters import DeadLetters
from shared.wiring import Ports

logger = logging.getLogger("sutazai.events")


class Consumer:
    """Keeps the rule of events: only what may pass by itself is tried again, everything else becomes a dead letter."""

    def __init__(self, spec: Spec) -> None:
        assert isinstance(spec.trigger, OnEvent)
        self.spec = spec
        self._event = spec.trigger.event
        self._ports: dict[str, object] = {}
        self._dead_letters: DeadLetters | None = None

    @property
    def type(self) -> str:
        return self._event.type

    @property
    def name(self) -> str:
        return self.spec.deployed

    async def open(self, ports: Ports) -> None:
        self._ports = await ports.of(self.spec)
        self._ports.update({name: None for name, port in self.spec.ports.items() if port is Envelope})
        self._dead_letters = await ports.open(DeadLetters)

    async def handle_in_time(self, envelope: Envelope) -> None:
        """`handle` for callers without a deadline of their own, under the function's."""
        try:
            async with asyncio.timeout(self.spec.timeout_s):
                await self.handle(envelope)
        except TimeoutError as exc:
            raise Unavailable(f"{self.name} took too long") from exc

    async def handle(self, envelope: Envelope) -> None:
        """Returns once the event is done with, for good or ill. Raises Unavailable when it should come again."""
        assert self._dead_letters is not None
        try:
            event = self._event.model_validate(envelope.data)
            given = {name: envelope if value is None else value for name, value in self._ports.items()}
            await self.spec.handler(event, **given)
        except Unavailable:
            raise
        except TimeoutError as exc:
            raise Unavailable(f"{self.name} waited too long for something") from exc
        except (ValidationError, SutazaiError) as exc:
            await self._dead_letters.refuse(self.name, envelope, reason="refused", error=str(exc))
        except Exception as exc:
            logger.exception("%s could not handle event %s", self.name, envelope.id)
            await self._dead_letters.refuse(self.name, envelope, reason="failed", error=type(exc).__name__)


class EventEndpoint:
    """Consumers of domain events, by type. Done, or refused for good, is 204; only Unavailable (503) asks again."""

    timeout_s: float

    def __init__(self, specs: Iterable[Spec]) -> None:
        self._consumers = {consumer.type: consumer for consumer in map(Consumer, specs)}
        sink = EventUndelivered.type in self._consumers
        self._decode = cloud_events.decode_at_sink if sink else cloud_events.decode
        self.timeout_s = max(consumer.spec.timeout_s for consumer in self._consumers.values())

    @asynccontextmanager
    async def opened(self, ports: Ports) -> AsyncIterator[None]:
        for consumer in self._consumers.values():
            await consumer.open(ports)
        yield

    async def answer(self, request: Request, path: Mapping[str, str]) -> Answer:
        event = self._decode(request.headers, await request.body(MIB))
        if consumer := self._consumers.get(event.type):
            await consumer.handle(event)
        # An event nobody here knows would be sent again for ever if it were refused.
        return Answer(204)
