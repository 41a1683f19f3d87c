"""What our host serves in `host`: the smallest function, and one that consumes an event."""

from pydantic import BaseModel

from events.tasks import TaskSucceeded
from shared.function import http, on_event


class Greeting(BaseModel):
    hello: str


@http("GET", "/hello", scope=None)
async def hello() -> Greeting:
    return Greeting(hello="world")


@on_event(TaskSucceeded)
async def hear(event: TaskSucceeded) -> None:
    assert event.agent
