"""everything/test_elicitation_sep1330_enums: for the conformance suite, a form of choices."""

from functions.agents.everything._fixtures._report import completed
from shared.asking import form
from shared.content import Content
from shared.function import Run, tool
from shared.strict_json import Json

_TITLES = {"value1": "First Option", "value2": "Second Option", "value3": "Third Option"}
_TITLED: Json = [{"const": value, "title": title} for value, title in _TITLES.items()]
_LEGACY: Json = ["opt1", "opt2", "opt3"]
_PLAIN: Json = ["option1", "option2", "option3"]
_FIELDS: dict[str, Json] = {
    "untitledSingle": {"type": "string", "enum": _PLAIN},
    "titledSingle": {"type": "string", "oneOf": _TITLED},
    "legacyEnum": {"type": "string", "enum": _LEGACY, "enumNames": ["Option One", "Option Two", "Option Three"]},
    "untitledMulti": {"type": "array", "items": {"type": "string", "enum": _PLAIN}},
    "titledMulti": {"type": "array", "items": {"anyOf": _TITLED}},
}


@tool(effect="read", timeout_s=10)
async def test_elicitation_sep1330_enums(*, run: Run) -> Content:
    """Ask for a choice of every kind."""
    return completed(run.ask({"choices": form("Please choose", _FIELDS)})["choices"])
