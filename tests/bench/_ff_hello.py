"""The smallest function, for functions-framework."""

from typing import Any

import functions_framework.aio


@functions_framework.aio.http
async def hello(request: Any) -> dict[str, str]:
    return {"hello": "world"}
