"""taskiq's side of `make bench B=queue`: the broker of its workers, and, run as a module, its producer."""

from typing import Any
from uuid import UUID, uuid4

import uvloop
from taskiq import TaskiqEvents
from taskiq_aio_pika import AioPikaBroker
from taskiq_aio_pika.queue import Queue, QueueType

from tests.bench._rows import DONE, QUEUED, open_pool
from tests.bench._side import AMQP_URL, MESSAGE, ROWS, count, produce

# Its defaults: a message is persistent, confirmed by the broker and acknowledged after its task. Not its defaults:
# a classic queue, which is cheaper than its quorum queue, and more than 10 messages ahead.
broker = AioPikaBroker(AMQP_URL, qos=100, task_queues=[Queue(type=QueueType.CLASSIC)])
_CONNECTIONS = 10
_opened: list[Any] = []


async def _open(*_: object) -> None:
    if ROWS:
        _opened.append(await open_pool(_CONNECTIONS))


broker.add_event_handler(TaskiqEvents.WORKER_STARTUP, _open)


@broker.task(task_name="bare")
async def bare(_message: str) -> None:
    count()


@broker.task(task_name="with_a_row")
async def with_a_row(task_id: str, message: str) -> None:
    await _opened[0].execute(DONE, UUID(task_id), f"Echo: {message}")
    count()


async def send() -> None:
    if ROWS:
        task_id = uuid4()
        await _opened[0].execute(QUEUED, task_id, MESSAGE)
        await with_a_row.kiq(str(task_id), MESSAGE)
    else:
        await bare.kiq(MESSAGE)


async def _main() -> None:
    await _open()
    await broker.startup()
    await produce(send)


if __name__ == "__main__":
    uvloop.run(_main())
