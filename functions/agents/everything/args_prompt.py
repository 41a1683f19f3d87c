"""everything/args-prompt: a prompt with one argument that is needed and one that is not."""

from pydantic import Field

from shared.function import prompt
from shared.payload import Payload


class ArgsPrompt(Payload):
    city: str = Field(description="Name of the city")
    state: str | None = Field(default=None, description="Name of the state")


@prompt(name="args-prompt")
async def args_prompt(request: ArgsPrompt) -> str:
    """Ask for the weather of a place."""
    place = f"{request.city}, {request.state}" if request.state else request.city
    return f"What's the weather in {place}?"
