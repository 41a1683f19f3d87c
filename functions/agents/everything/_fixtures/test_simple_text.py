"""everything/test_simple_text: for the conformance suite, text."""

from shared.content import Content, text
from shared.function import tool


@tool(effect="read", timeout_s=10)
async def test_simple_text() -> Content:
    """Return a text."""
    return text("This is a simple text response for testing.")
