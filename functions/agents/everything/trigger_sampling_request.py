"""everything/trigger-sampling-request: the client's model is asked to go on from a text."""

from pydantic import Field

from shared.asking import said, sampling
from shared.content import Content, text
from shared.function import Run, tool
from shared.payload import Payload


class TriggerSamplingRequest(Payload):
    prompt: str
    max_tokens: int = Field(default=100, ge=1, le=100_000, alias="maxTokens")


@tool(name="trigger-sampling-request", effect="read", timeout_s=10)
async def trigger_sampling_request(request: TriggerSamplingRequest, *, run: Run) -> Content:
    """Have the client's model answer a prompt, and return what it said."""
    asked = sampling(request.prompt, max_tokens=request.max_tokens, system="You are a helpful test server.")
    answer = run.ask({"sampling": asked})["sampling"]
    return text(f"The model of the client said: {said(answer)}")
