"""Feeds agents and consumers of events from RabbitMQ, over HTTP: what sources, Broker and Triggers do on Knative."""

from shared.catalog import DOCUMENTS, agent_names, all_functions
from shared.connector import Connector
from shared.function import OnEvent, service
from shared.ports.bus import Bus
from shared.ports.dead_letters import DeadLetters
from shared.ports.functions import Functions


@service()
async def connect(*, bus: Bus, functions: Functions, dead_letters: DeadLetters) -> None:
    """Runs until cancelled; `SUTAZAI_FUNCTION_URL` says where functions are reached."""
    consumers = [spec for spec in all_functions() if isinstance(spec.trigger, OnEvent) and spec.trigger.event.carried]
    await Connector((*agent_names(), DOCUMENTS), consumers).run(bus, functions, dead_letters)
