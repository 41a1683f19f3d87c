"""On event.undelivered: what a broker outside the record could not deliver waits for an operator."""

import logging

from events.dead_letters import EventUndelivered
from events.tasks import TaskQueued
from shared.function import on_event
from shared.ports.dead_letters import DeadLetters

logger = logging.getLogger("sutazai.events")


@on_event(EventUndelivered)
async def keep_undelivered_event(event: EventUndelivered, *, dead_letters: DeadLetters) -> None:
    """The second delivery finds it there. Of a wake-up nothing is lost: another comes for as long as tasks wait."""
    answered = "nothing" if event.status is None else event.status
    if event.event.type == TaskQueued.type:
        logger.warning("%s was not woken: it answered %s", event.consumer, answered)
        return
    error = f"the broker has given up: {event.consumer!r} answered {answered}"
    await dead_letters.refuse(event.consumer, event.event, reason="attempts", error=error)
