"""everything/failing_job: for the conformance suite, a task whose tool fails."""

import asyncio

from shared.content import Content
from shared.errors import ToolError
from shared.function import tool


@tool(effect="read", timeout_s=10, task="required")
async def failing_job() -> Content:
    """Fail after a second, as a tool fails that could not do what was asked."""
    await asyncio.sleep(1)
    raise ToolError("this job always fails")
