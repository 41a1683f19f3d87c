"""everything/echo: what was said, said back."""

from shared.content import Content, text
from shared.function import tool
from shared.payload import Payload


class Echo(Payload):
    message: str


@tool(effect="read", timeout_s=5)
async def echo(request: Echo) -> Content:
    """Return the message, to see that calls arrive and answers come back."""
    return text(f"Echo: {request.message}")
