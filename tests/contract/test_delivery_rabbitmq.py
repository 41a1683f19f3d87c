"""The suite of tests/contract/delivery.py, where RabbitMQ carries."""

import base64
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel

from events.base import Envelope
from events.tasks import TaskQueued, TaskSucceeded
from events.topology import AGENTS, TASK_QUEUE, UNROUTED, wake_up_key
from shared import cloud_events
from shared.stores.rabbitmq.messages import message_of
from tests.contract.delivery import *  # noqa: F403
from tests.contract.delivery import Outage, settings_for
from tests.ledger_origin import Origin
from tests.rabbitmq import RabbitMQ
from tests.system.platform import Client, Platform

_ROUTE = wake_up_key("*")


def _message(type: str, **data: Any) -> aio_pika.Message:
    return message_of(Envelope(id=str(uuid4()), source="/functions/keep", type=type, data=data))


@dataclass(frozen=True)
class _Broker:
    broker: RabbitMQ
    alarm: str = f"wake-ups without a queue bound for them: {{'{wake_up_key('everything')}'"

    async def accept_unheard(self, client: Client, asked: Sequence[dict[str, Any]]) -> list[str]:
        async with self._channel() as channel:
            queue = await channel.get_queue(TASK_QUEUE, ensure=False)
            lost = await channel.declare_queue(exclusive=True)
            await lost.bind(UNROUTED)
            await queue.unbind(AGENTS, _ROUTE)
            try:
                ids = [(await client.execute(**_named(one)))["task_id"] for one in asked]
                async with lost.iterator() as messages:
                    first = await anext(messages)
                    assert first.routing_key == wake_up_key("everything")
                assert [(await client.task(task_id))["status"] for task_id in ids] == ["queued"] * len(ids)
            finally:
                await queue.bind(AGENTS, _ROUTE)
        return ids

    @asynccontextmanager
    async def copying(self) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        async with self._channel() as channel:
            agents = await channel.get_exchange(AGENTS, ensure=False)

            async def copy() -> None:
                for wanted in range(1, 6):
                    message = _message(TaskQueued.type, agent="everything", wanted=wanted)
                    await agents.publish(message, wake_up_key("everything"))

            yield copy

    async def litter(self) -> list[str]:
        broken = [b"{", b"[]", b'{"specversion": "1.0"}', b"<wake-up/>", b"\xff\xfe"]
        unreadable = [
            *(aio_pika.Message(body, content_type=cloud_events.STRUCTURED) for body in broken),
            aio_pika.Message(b"everything", content_type="text/plain"),
            _message(TaskSucceeded.type, agent="everything"),
            _message(TaskQueued.type, agent="everything", wanted="many"),
        ]
        unknown = _message(TaskQueued.type, agent="nobody", wanted=1)
        async with self._channel() as channel:
            agents = await channel.get_exchange(AGENTS, ensure=False)
            for message in [*unreadable, unknown]:
                await agents.publish(message, wake_up_key("everything"))
        return [_shown(message.body) for message in unreadable]

    @asynccontextmanager
    async def _channel(self) -> AsyncIterator[AbstractChannel]:
        connection = await aio_pika.connect(self.broker.url())
        async with connection:
            yield await connection.channel()


def _shown(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return base64.b64encode(body).decode()


def _named(asked: dict[str, Any]) -> dict[str, Any]:
    return {("agent" if name == "agent_id" else name): value for name, value in asked.items()}


@pytest.fixture(scope="module")
def own_broker() -> Iterator[RabbitMQ]:
    """To be stopped and wiped at will."""
    with RabbitMQ() as broker:
        yield broker


@pytest.fixture(scope="module")
def platform(own_broker: RabbitMQ, outside: Origin) -> Iterator[Platform]:
    with tempfile.TemporaryDirectory(prefix="sutazai-delivery-") as folder:
        Path(folder).chmod(0o755)
        with Platform(Path(folder) / "home", SUTAZAI_AMQP_URL=own_broker.url(), **settings_for(outside)) as platform:
            yield platform


@pytest.fixture
def carrier(own_broker: RabbitMQ) -> _Broker:
    return _Broker(own_broker)


@pytest.fixture(params=["killed", "stopped and wiped"])
def outage(own_broker: RabbitMQ, request: pytest.FixtureRequest) -> Outage:
    def perform() -> None:
        if request.param == "killed":
            own_broker.kill()
        else:
            own_broker.stop()
            own_broker.wipe()
        own_broker.start()

    return Outage(perform, refuses=False)
