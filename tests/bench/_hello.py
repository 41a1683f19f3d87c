"""The smallest function."""

from pydantic import BaseModel

from shared.function import http


class Greeting(BaseModel):
    hello: str


@http("GET", "/hello", scope=None)
async def hello() -> Greeting:
    return Greeting(hello="world")
