"""Dramatiq's side of `make bench B=queue`: the actors of its workers, and, run as a module, its producer."""

from uuid import UUID, uuid4

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from tests.bench._rows import DONE, QUEUED, execute
from tests.bench._side import AMQP_URL, MESSAGE, ROWS, count, produce_in_threads

# Its default: a message is persistent and acknowledged after its task. Not its default: the broker confirms it.
dramatiq.set_broker(RabbitmqBroker(url=AMQP_URL, confirm_delivery=True))


@dramatiq.actor
def bare(_message: str) -> None:
    count()


@dramatiq.actor
def with_a_row(task_id: str, message: str) -> None:
    execute(DONE, UUID(task_id), f"Echo: {message}")
    count()


def send() -> None:
    if ROWS:
        task_id = uuid4()
        execute(QUEUED, task_id, MESSAGE)
        with_a_row.send(str(task_id), MESSAGE)
    else:
        bare.send(MESSAGE)


if __name__ == "__main__":
    produce_in_threads(send)
