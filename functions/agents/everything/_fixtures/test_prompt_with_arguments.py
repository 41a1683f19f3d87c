"""everything/test_prompt_with_arguments: for the conformance suite, a prompt with arguments."""

from collections.abc import Mapping

from pydantic import Field

from shared.function import prompt
from shared.payload import Payload


def _suggested(value: str, known: Mapping[str, str]) -> list[str]:
    return [word for word in ("paris", "park", "party") if word.startswith(value)]


class TestPromptWithArguments(Payload):
    arg1: str = Field(description="First test argument")
    arg2: str = Field(description="Second test argument")


@prompt(complete={"arg1": _suggested})
async def test_prompt_with_arguments(request: TestPromptWithArguments) -> str:
    """A text that holds both arguments."""
    return f"Prompt with arguments: arg1='{request.arg1}', arg2='{request.arg2}'"
