"""everything/trigger-elicitation-request: a person is asked to fill in a form of every kind of field."""

import json

from shared.asking import filled_in, form
from shared.content import Content, text
from shared.function import Run, tool
from shared.strict_json import Json

_HEROES: Json = [{"const": "hero-1", "title": "Superman"}, {"const": "hero-2", "title": "Green Lantern"}]
_FIELDS: dict[str, Json] = {
    "name": {"type": "string", "title": "Name", "description": "Your full name", "minLength": 1, "maxLength": 200},
    "check": {"type": "boolean", "title": "Agree", "description": "Do you agree?", "default": False},
    "email": {"type": "string", "title": "Email", "format": "email"},
    "homepage": {"type": "string", "title": "Homepage", "format": "uri"},
    "birthdate": {"type": "string", "title": "Birthdate", "format": "date"},
    "integer": {"type": "integer", "title": "Favourite whole number", "minimum": 1, "maximum": 100, "default": 42},
    "number": {"type": "number", "title": "Favourite number", "minimum": 0, "maximum": 1000, "default": 3.14},
    "colour": {"type": "string", "title": "Favourite colour", "enum": ["red", "green", "blue"], "default": "green"},
    "hero": {"type": "string", "title": "Favourite hero", "oneOf": _HEROES},
    "fruits": {"type": "array", "title": "Fruits", "items": {"type": "string", "enum": ["apple", "pear", "plum"]}},
}


@tool(name="trigger-elicitation-request", effect="read", timeout_s=10)
async def trigger_elicitation_request(*, run: Run) -> Content:
    """Ask the person at the client to fill in a form, and return what they did."""
    asked = form("Please say something about yourself:", _FIELDS, required=["name"])
    answer = run.ask({"elicitation": asked})["elicitation"]
    if (content := filled_in(answer)) is None:
        action = answer["action"] if isinstance(answer, dict) else None
        return text("The form was declined." if action == "decline" else "The form was dismissed.")
    return text(f"The form was filled in:\n{json.dumps(content, indent=2, ensure_ascii=False)}")
