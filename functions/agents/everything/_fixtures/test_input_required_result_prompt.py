"""everything/test_input_required_result_prompt: for the conformance suite, a prompt that asks first."""

from functions.agents.everything._fixtures._questions import text_form
from shared.asking import filled_in
from shared.function import Run, prompt


@prompt()
async def test_input_required_result_prompt(*, run: Run) -> str:
    """Ask what the prompt is about."""
    asked = text_form("What context should the prompt use?", "context")
    content = filled_in(run.ask({"user_context": asked})["user_context"])
    return f"Use this context: {content['context'] if content else 'none'}"
