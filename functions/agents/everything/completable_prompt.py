"""everything/completable-prompt: suggestions for one argument follow from another."""

from collections.abc import Mapping

from pydantic import Field

from shared.function import prompt
from shared.payload import Payload

_TEAMS = {
    "Engineering": ("Alice", "Bob", "Charlie"),
    "Sales": ("David", "Eve", "Frank"),
    "Marketing": ("Grace", "Henry", "Iris"),
    "Support": ("John", "Kim", "Lee"),
}


def _departments(value: str, known: Mapping[str, str]) -> list[str]:
    return [team for team in _TEAMS if team.lower().startswith(value.lower())]


def _names(value: str, known: Mapping[str, str]) -> list[str]:
    return [name for name in _TEAMS.get(known.get("department", ""), ()) if name.lower().startswith(value.lower())]


class CompletablePrompt(Payload):
    department: str = Field(description="The department that the person is in")
    name: str = Field(description="Somebody of the department")


@prompt(name="completable-prompt", title="Team management", complete={"department": _departments, "name": _names})
async def completable_prompt(request: CompletablePrompt) -> str:
    """Promote somebody; the names that are suggested are those of the department."""
    return f"Please promote {request.name} to the head of the {request.department} team."
