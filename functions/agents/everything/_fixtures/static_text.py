"""everything/static_text: for the conformance suite, a text to read."""

from shared.function import resource


@resource("test://static-text", public=True, ttl_s=60)
async def static_text() -> str:
    """A text."""
    return "This is the content of the static text resource."
