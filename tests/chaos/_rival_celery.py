"""Celery in the storm, set as its documentation recommends for tasks that must not be lost."""

from importlib import import_module
from typing import Any

from tests.chaos._rival_side import AMQP_URL, produce, work

# It ships no types.
app: Any = import_module("celery").Celery("storm", broker=AMQP_URL)
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_transport_options={"confirm_publish": True},
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
)
celery_work = app.task(name="work")(work)


if __name__ == "__main__":
    produce(celery_work.delay)
