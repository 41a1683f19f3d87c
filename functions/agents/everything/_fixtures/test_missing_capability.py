"""everything/test_missing_capability: for the conformance suite, a capability that is needed."""

from shared.asking import said, sampling
from shared.content import Content, text
from shared.function import Run, tool


@tool(effect="read", timeout_s=10)
async def test_missing_capability(*, run: Run) -> Content:
    """Ask the client's model, whether or not it has one."""
    return text(said(run.ask({"question": sampling("Say something", max_tokens=50)})["question"]))
