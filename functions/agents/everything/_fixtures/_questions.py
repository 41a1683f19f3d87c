"""What several fixtures ask."""

from shared.asking import form
from shared.strict_json import Json


def text_form(message: str, field: str) -> Json:
    return form(message, {field: {"type": "string"}}, required=[field])


CONFIRM: Json = form("Please confirm", {"ok": {"type": "boolean"}}, required=["ok"])
NAME: Json = text_form("What is your name?", "name")
