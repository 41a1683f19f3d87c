"""everything/test_logging_tool: for the conformance suite, a log message for those who want it."""

from shared.content import Content, text
from shared.function import Log, tool


@tool(effect="read", timeout_s=10)
async def test_logging_tool(*, log: Log) -> Content:
    """Log one message."""
    log("info", "this was asked for")
    return text("What there was to log was logged.")
