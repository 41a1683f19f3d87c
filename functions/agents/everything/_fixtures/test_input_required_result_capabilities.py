"""everything/test_input_required_result_capabilities: for the conformance suite, only what the client can answer."""

from functions.agents.everything._fixtures._questions import NAME
from shared.asking import ROOTS, sampling
from shared.content import Content, text
from shared.function import Run, tool


@tool(effect="read", timeout_s=10)
async def test_input_required_result_capabilities(*, run: Run) -> Content:
    """Ask for what the client can answer."""
    asked = {"elicitation": NAME, "sampling": sampling("Say something", max_tokens=50), "roots": ROOTS}
    answers = run.ask({kind: request for kind, request in asked.items() if kind in run.askable})
    return text(f"the client answered for {', '.join(answers) or 'nothing'}")
