"""everything/test_error_handling: for the conformance suite, an error."""

from shared.content import Content
from shared.errors import ToolError
from shared.function import tool


@tool(effect="read", timeout_s=10)
async def test_error_handling() -> Content:
    """Fail."""
    raise ToolError("This tool intentionally returns an error for testing")
