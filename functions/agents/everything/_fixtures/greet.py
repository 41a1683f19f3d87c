"""everything/greet: for the conformance suite, a tool that never becomes a task."""

from shared.content import Content, text
from shared.function import tool
from shared.payload import Payload


class Greet(Payload):
    name: str


@tool(effect="read", timeout_s=5)
async def greet(request: Greet) -> Content:
    """Greet somebody by name."""
    return text(f"Hello, {request.name}!")
