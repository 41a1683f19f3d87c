"""A function that consumes an event and does nothing else with it."""

from events.tasks import TaskSucceeded
from shared.function import on_event


@on_event(TaskSucceeded)
async def hear(event: TaskSucceeded) -> None:
    assert event.agent
