"""everything/test_input_required_result_sampling: for the conformance suite, one question to a model."""

from shared.asking import said, sampling
from shared.content import Content, text
from shared.function import Run, tool


@tool(effect="read", timeout_s=10)
async def test_input_required_result_sampling(*, run: Run) -> Content:
    """Ask the client's model for a capital."""
    asked = sampling("What is the capital of France?", max_tokens=100)
    return text(said(run.ask({"capital_question": asked})["capital_question"]))
