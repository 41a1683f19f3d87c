"""everything/test_sampling: for the conformance suite, a question to the client's model."""

from shared.asking import said, sampling
from shared.content import Content, text
from shared.function import Run, tool
from shared.payload import Payload


class TestSampling(Payload):
    prompt: str


@tool(effect="read", timeout_s=10)
async def test_sampling(request: TestSampling, *, run: Run) -> Content:
    """Have the client's model answer a prompt."""
    answer = run.ask({"sampling": sampling(request.prompt, max_tokens=100)})["sampling"]
    return text(f"LLM response: {said(answer)}")
