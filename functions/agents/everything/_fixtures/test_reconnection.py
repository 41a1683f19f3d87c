"""everything/test_reconnection: for the conformance suite, an answer that its client comes back for."""

import asyncio

from shared.content import Content, text
from shared.function import Run, tool


@tool(effect="read", timeout_s=10)
async def test_reconnection(*, run: Run) -> Content:
    """Let the connection go, then return a text."""
    run.detach()
    await asyncio.sleep(1)
    return text("Whoever came back has missed nothing.")
