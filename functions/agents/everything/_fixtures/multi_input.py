"""everything/multi_input: for the conformance suite, a task that asks two things at once."""

from shared.asking import filled_in, form
from shared.content import Content, text
from shared.function import Run, tool

_NAME = form("Who are you?", {"name": {"type": "string"}}, required=["name"])
_CONFIRM = form("Are you sure?", {"confirm": {"type": "boolean"}}, required=["confirm"])


@tool(effect="read", timeout_s=10, task="optional")
async def multi_input(*, run: Run) -> Content:
    """Ask for a name and for a confirmation, in any order, and say both."""
    answers = run.ask({"name": _NAME, "confirm": _CONFIRM})
    name, confirm = (filled_in(answers[key]) or {} for key in ("name", "confirm"))
    return text(f"{name.get('name', 'nobody')} is {'sure' if confirm.get('confirm') is True else 'not sure'}")
