"""everything/test_elicitation_sep1034_defaults: for the conformance suite, a form with defaults."""

from functions.agents.everything._fixtures._report import completed
from shared.asking import form
from shared.content import Content
from shared.function import Run, tool
from shared.strict_json import Json

_FIELDS: dict[str, Json] = {
    "name": {"type": "string", "default": "John Doe"},
    "age": {"type": "integer", "default": 30},
    "score": {"type": "number", "default": 95.5},
    "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    "verified": {"type": "boolean", "default": True},
}


@tool(effect="read", timeout_s=10)
async def test_elicitation_sep1034_defaults(*, run: Run) -> Content:
    """Ask for one value of each kind, each with a default."""
    asked = form("Please review what is filled in already", _FIELDS)
    return completed(run.ask({"defaults": asked})["defaults"])
