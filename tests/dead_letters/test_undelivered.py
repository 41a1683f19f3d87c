"""What Knative's broker gives up on is not gone: it is a dead letter, and goes the way that it came when replayed."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import httpx
import pytest

from events.base import Envelope
from events.tasks import TaskQueued
from events.topology import EVENTS, queue_of
from events.users import UserDisabled
from shared import cloud_events
from shared.catalog import find
from shared.config import Settings
from shared.ports.bus import Bus
from shared.ports.dead_letters import DeadLetters
from shared.ports.upkeep import Upkeep
from shared.serve import App
from shared.stores.postgres.database import Database
from shared.stores.postgres.outbox import record_event
from shared.wiring import Ports

CONSUMER = "tasks-cancel-tasks-of-disabled-user"
THERE = f"http://{CONSUMER}.sutazai.svc.cluster.local"
USER = UUID(int=7)
EVENT = cloud_events.envelope(UserDisabled(user_id=USER), source="/functions/t", subject=str(USER), user_id=USER)
AS_IT_IS = EVENT.model_dump(mode="json", by_alias=True, exclude_none=True)


def _binary(event: dict[str, Any], **more: str) -> tuple[dict[str, str], bytes]:
    """As its dispatcher sends it."""
    attributes = {name: value for name, value in {**event, **more}.items() if name not in ("data", "datacontenttype")}
    headers = {f"ce-{name}": str(value) for name, value in attributes.items()}
    return {**headers, "content-type": "application/json"}, json.dumps(event["data"]).encode()


def _structured(event: dict[str, Any], **more: str) -> tuple[dict[str, str], bytes]:
    return {"content-type": cloud_events.STRUCTURED}, json.dumps({**event, **more}).encode()


def _sent(settings: Settings, *requests: tuple[dict[str, str], bytes]) -> list[dict[str, Any]]:
    """The dead letters that there are after it."""

    async def scenario() -> list[dict[str, Any]]:
        app = App([find("keep_undelivered_event")], settings=settings)
        transport = httpx.ASGITransport(app=app)
        async with Ports(settings) as ports, app.running():
            async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
                for headers, content in requests:
                    answer = await client.post("/", content=content, headers=headers)
                    assert (answer.status_code, answer.content) == (204, b"")
            columns = "reason, consumer, event, error"
            rows = await (await ports.open(Database)).fetch(f"SELECT {columns} FROM dead_letters")
            return [dict(row) for row in rows]

    return asyncio.run(scenario())


@pytest.mark.parametrize("form", [_binary, _structured])
def test_an_event_that_was_given_up_is_a_dead_letter_of_its_consumer(
    settings: Settings, form: Callable[..., tuple[dict[str, str], bytes]]
) -> None:
    said = form(AS_IT_IS, knativeerrordest=THERE, knativeerrorcode="503")
    letter = {
        "reason": "attempts",
        "consumer": CONSUMER,
        "event": AS_IT_IS,
        "error": f"the broker has given up: '{CONSUMER}' answered 503",
    }
    # The broker may send it twice.
    assert _sent(settings, said, said) == [letter]


@pytest.mark.parametrize(
    "there, code, consumer, answered",
    [
        (f"{THERE}:80/", "-1", CONSUMER, "nothing"),
        ("https://a-b.c", "404", "a-b", "404"),
        ("nowhere", "x", "?", "nothing"),
        ("", "", "?", "nothing"),
    ],
)
def test_whoever_it_was_for_is_told_as_far_as_it_is_known(
    settings: Settings, there: str, code: str, consumer: str, answered: str
) -> None:
    [letter] = _sent(settings, _structured(AS_IT_IS, knativeerrordest=there, knativeerrorcode=code))
    assert letter["consumer"] == consumer
    assert letter["error"] == f"the broker has given up: {consumer!r} answered {answered}"


def test_a_wake_up_that_was_given_up_is_no_dead_letter_since_another_one_comes(settings: Settings) -> None:
    wake_up = cloud_events.envelope(TaskQueued(agent="memory", wanted=1), source="/t", subject="memory", agent="memory")
    document = wake_up.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert _sent(settings, _binary(document, knativeerrordest="http://memory.sutazai", knativeerrorcode="500")) == []


def test_what_nobody_has_given_up_is_no_dead_letter(settings: Settings) -> None:
    assert _sent(settings, _binary(AS_IT_IS), _structured(AS_IT_IS)) == []


def _outside(settings: Settings, amqp_url: str, scenario: Callable[[Ports, Any], Awaitable[None]]) -> None:
    """Where events go by their type alone, as Knative's source takes them."""

    async def play() -> None:
        told = replace(settings, amqp_url=amqp_url, event_types=frozenset({UserDisabled.type}))
        async with asyncio.timeout(60), Ports(told) as ports:
            await ports.open(Bus)
            connection = await aio_pika.connect(amqp_url)
            async with connection:
                channel = await connection.channel()
                queue = await channel.declare_queue(queue_of("knative"))
                await queue.bind(EVENTS, UserDisabled.type)
                await scenario(ports, queue)

    asyncio.run(play())


async def _carried(ports: Ports, queue: Any) -> list[Envelope]:
    """What the keeper brings to the queue in one turn."""
    bus = await ports.open(Bus)
    await (await ports.open(Upkeep)).number()
    await bus.relay()
    found = []
    while (message := await queue.get(fail=False, no_ack=True)) is not None:
        found.append(cloud_events.decode({b"content-type": cloud_events.STRUCTURED.encode()}, message.body))
    return found


def test_a_replayed_event_goes_to_the_broker_as_it_went_the_first_time(settings: Settings, amqp_url: str) -> None:
    async def scenario(ports: Ports, queue: Any) -> None:
        database, letters = await ports.open(Database), await ports.open(DeadLetters)
        async with database.transaction() as connection:
            event = UserDisabled(user_id=USER)
            await record_event(connection, event, source="/functions/t", subject=str(USER), user_id=USER)
        [first] = await _carried(ports, queue)
        await letters.refuse(CONSUMER, first, reason="attempts", error="away")
        [letter] = (await letters.list(reason=None, agent=None, limit=10, cursor=None)).dead_letters
        assert await letters.replay_event(letter.id, actor=uuid4())
        assert await _carried(ports, queue) == [first]
        assert await _carried(ports, queue) == []

    _outside(settings, amqp_url, scenario)
