"""everything/test_simple_prompt: for the conformance suite, a prompt."""

from shared.function import prompt


@prompt()
async def test_simple_prompt() -> str:
    """A text to start from."""
    return "This is a simple prompt for testing."
