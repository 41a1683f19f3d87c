"""Whether what a client answered is what it was asked for; the schemas of forms are flat, by MCP's rules."""

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Final
from urllib.parse import urlsplit

from shared.strict_json import Json

_ACTIONS: Final = frozenset({"accept", "decline", "cancel"})


def fits(request: Json, answer: Json) -> bool:
    """A result of the request's method, and a form's content as its schema has it."""
    if not isinstance(request, dict) or not isinstance(answer, dict):
        return False
    params = request.get("params")
    check = _CHECKS.get(str(request.get("method")))
    return check is not None and check(params if isinstance(params, dict) else {}, answer)


def _elicited(params: Mapping[str, Json], answer: Mapping[str, Json]) -> bool:
    if answer.get("action") not in _ACTIONS:
        return False
    schema = params.get("requestedSchema")
    # Whoever declines, and whoever is sent to a URL, fills nothing in.
    if answer["action"] != "accept" or not isinstance(schema, dict):
        return True
    return _form_fits(schema, answer.get("content"))


def _sampled(params: Mapping[str, Json], answer: Mapping[str, Json]) -> bool:
    content = answer.get("content")
    blocks = content if isinstance(content, list) else [content]
    typed = all(isinstance(block, dict) and isinstance(block.get("type"), str) for block in blocks)
    return answer.get("role") in ("user", "assistant") and isinstance(answer.get("model"), str) and typed


def _rooted(params: Mapping[str, Json], answer: Mapping[str, Json]) -> bool:
    roots = answer.get("roots")
    listed = roots if isinstance(roots, list) else [None]
    return all(isinstance(root, dict) and isinstance(root.get("uri"), str) for root in listed)


_CHECKS: Final[Mapping[str, Callable[[Mapping[str, Json], Mapping[str, Json]], bool]]] = {
    "elicitation/create": _elicited,
    "sampling/createMessage": _sampled,
    "roots/list": _rooted,
}


def _form_fits(schema: Mapping[str, Json], content: Json) -> bool:
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(content, dict) or not isinstance(properties, dict):
        return False
    if isinstance(required, list) and any(name not in content for name in required):
        return False
    # What nobody asked for is nobody's business.
    asked = ((part, content[name]) for name, part in properties.items() if name in content)
    return all(isinstance(part, dict) and _value_fits(part, value) for part, value in asked)


def _value_fits(schema: Mapping[str, Json], value: Json) -> bool:
    match schema.get("type"):
        case "string":
            return isinstance(value, str) and _text_fits(schema, value)
        case "integer":
            whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
            return whole and _number_fits(schema, value)
        case "number":
            return _number_fits(schema, value)
        case "boolean":
            return isinstance(value, bool)
        case "array":
            return isinstance(value, list) and _choices_fit(schema, value)
    return False


def _number_fits(schema: Mapping[str, Json], value: Json) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    least, most = schema.get("minimum"), schema.get("maximum")
    return not ((isinstance(least, int | float) and value < least) or (isinstance(most, int | float) and value > most))


def _text_fits(schema: Mapping[str, Json], value: str) -> bool:
    choices = _choices(schema)
    if choices is not None and value not in choices:
        return False
    shortest, longest = schema.get("minLength"), schema.get("maxLength")
    if (isinstance(shortest, int) and len(value) < shortest) or (isinstance(longest, int) and len(value) > longest):
        return False
    look = _FORMATS.get(str(schema.get("format")))
    return look is None or look(value)


def _choices_fit(schema: Mapping[str, Json], values: list[Json]) -> bool:
    least, most, items = schema.get("minItems"), schema.get("maxItems"), schema.get("items")
    if (isinstance(least, int) and len(values) < least) or (isinstance(most, int) and len(values) > most):
        return False
    choices = _choices(items) if isinstance(items, dict) else None
    return all(isinstance(value, str) and (choices is None or value in choices) for value in values)


def _choices(schema: Mapping[str, Json]) -> list[Json] | None:
    if isinstance(listed := schema.get("enum"), list):
        return listed
    titled = schema.get("oneOf") or schema.get("anyOf")
    return [each.get("const") for each in titled if isinstance(each, dict)] if isinstance(titled, list) else None


def _is_uri(value: str) -> bool:
    try:
        return bool(urlsplit(value).scheme)
    except ValueError:
        return False


def _parses(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def look(value: str) -> bool:
        try:
            parse(value)
        except ValueError:
            return False
        return True

    return look


_FORMATS: Final[Mapping[str, Callable[[str], bool]]] = {
    "email": lambda value: re.fullmatch(r"[^@\s]+@[^@\s]+", value) is not None,
    "uri": _is_uri,
    "date": _parses(date.fromisoformat),
    "date-time": _parses(datetime.fromisoformat),
}
