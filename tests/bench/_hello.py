"""The smallest function."""

from shared.function import http


@http("GET", "/hello", scope=None)
async def hello() -> dict[str, str]:
    return {"hello": "world"}
