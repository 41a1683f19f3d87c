"""everything/watched_resource: for the conformance suite, a resource that clients may watch."""

from shared.function import resource


@resource("test://watched-resource")
async def watched_resource() -> str:
    """A text that stays as it is."""
    return "This does not change while this version runs."
