"""everything/test_tool_with_task: for the conformance suite, a tool that asks first and becomes a task then."""

from functions.agents.everything._fixtures._questions import NAME
from shared.asking import filled_in
from shared.content import Content, text
from shared.function import Run, tool


@tool(effect="read", timeout_s=10, task="required", detaches=True)
async def test_tool_with_task(*, run: Run) -> Content:
    """Ask for a name within the call, then greet by it in a task."""
    filled = filled_in(run.ask({"user_name": NAME})["user_name"]) or {}
    run.detach()
    return text(f"Hello, {filled.get('name', 'stranger')}!")
