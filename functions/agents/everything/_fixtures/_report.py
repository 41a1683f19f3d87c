"""What became of a form, as the suite wants to read it."""

import json

from shared.asking import filled_in
from shared.content import Content, text
from shared.strict_json import Json


def completed(answer: Json) -> Content:
    action = answer["action"] if isinstance(answer, dict) else None
    return text(f"Elicitation completed: action={action}, content={json.dumps(filled_in(answer) or {})}")
