"""Celery's side of `make bench B=queue`: the app of its workers, and, run as a module, its producer."""

from importlib import import_module
from typing import Any
from uuid import UUID, uuid4

from tests.bench._rows import DONE, QUEUED, execute
from tests.bench._side import AMQP_URL, MESSAGE, PRODUCERS, ROWS, count, produce_in_threads

# It ships no types.
app: Any = import_module("celery").Celery("bench", broker=AMQP_URL)
app.conf.update(
    task_ignore_result=True,
    # Its default: a message is persistent. Not its default: the broker confirms it.
    broker_transport_options={"confirm_publish": True},
    worker_prefetch_multiplier=32,
    # Its default is False, by which a worker that is killed loses what it runs.
    task_acks_late=ROWS,
    broker_connection_retry_on_startup=True,
    broker_pool_limit=PRODUCERS,
)


def _bare(_message: str) -> None:
    count()


def _with_a_row(task_id: str, message: str) -> None:
    execute(DONE, UUID(task_id), f"Echo: {message}")
    count()


bare = app.task(name="bare")(_bare)
with_a_row = app.task(name="with_a_row")(_with_a_row)


def send() -> None:
    if ROWS:
        task_id = uuid4()
        execute(QUEUED, task_id, MESSAGE)
        with_a_row.delay(str(task_id), MESSAGE)
    else:
        bare.delay(MESSAGE)


if __name__ == "__main__":
    produce_in_threads(send)
