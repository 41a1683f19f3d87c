"""everything/test_tool_with_logging: for the conformance suite, log messages."""

import asyncio

from shared.content import Content, text
from shared.function import Log, tool


@tool(effect="read", timeout_s=10)
async def test_tool_with_logging(*, log: Log) -> Content:
    """Say at its start, in its middle and at its end how far it is."""
    log("info", "Tool execution started")
    await asyncio.sleep(0.05)
    log("info", "Tool processing data")
    await asyncio.sleep(0.05)
    log("info", "Tool execution completed")
    return text("Tool with logging executed successfully")
