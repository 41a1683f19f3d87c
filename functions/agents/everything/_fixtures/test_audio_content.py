"""everything/test_audio_content: for the conformance suite, sound."""

from functions.agents.everything._fixtures._audio import silence
from shared.content import Content
from shared.function import tool


@tool(effect="read", timeout_s=10)
async def test_audio_content() -> Content:
    """Return a short sound."""
    return Content(content=[silence()])
