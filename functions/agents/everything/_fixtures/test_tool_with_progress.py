"""everything/test_tool_with_progress: for the conformance suite, progress."""

import asyncio

from shared.content import Content, text
from shared.function import Run, tool


@tool(effect="read", timeout_s=10)
async def test_tool_with_progress(*, run: Run) -> Content:
    """Report 0, 50 and 100 percent."""
    for percent in (0, 50, 100):
        run.progress(percent)
        await asyncio.sleep(0.05)
    return text("Tool with progress executed successfully")
