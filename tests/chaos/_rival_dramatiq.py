"""Dramatiq in the storm: its defaults are persistent messages, acknowledged after the task, and retries."""

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from tests.chaos._rival_side import AMQP_URL, produce, work

dramatiq.set_broker(RabbitmqBroker(url=AMQP_URL, confirm_delivery=True))
dramatiq_work = dramatiq.actor(actor_name="work")(work)


if __name__ == "__main__":
    produce(dramatiq_work.send)
