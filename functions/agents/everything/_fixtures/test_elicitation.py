"""everything/test_elicitation: for the conformance suite, a form."""

from functions.agents.everything._fixtures._report import completed
from shared.asking import form
from shared.content import Content
from shared.function import Run, tool
from shared.payload import Payload
from shared.strict_json import Json

_FIELDS: dict[str, Json] = {
    "username": {"type": "string", "description": "User's response"},
    "email": {"type": "string", "description": "User's email address"},
}


class TestElicitation(Payload):
    message: str


@tool(effect="read", timeout_s=10)
async def test_elicitation(request: TestElicitation, *, run: Run) -> Content:
    """Ask for a name and an address."""
    asked = form(request.message, _FIELDS, required=["username", "email"])
    return completed(run.ask({"user": asked})["user"])
