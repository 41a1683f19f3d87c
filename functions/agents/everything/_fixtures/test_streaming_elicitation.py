"""everything/test_streaming_elicitation: for the conformance suite, a question where a stream might be."""

from functions.agents.everything._fixtures._questions import NAME
from shared.content import Content, text
from shared.function import Run, tool


@tool(effect="read", timeout_s=10)
async def test_streaming_elicitation(*, run: Run) -> Content:
    """Report progress, and ask for a name."""
    run.progress(10, "about to ask")
    run.ask({"user_name": NAME})
    return text("the name was given")
