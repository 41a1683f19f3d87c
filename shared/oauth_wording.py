"""Refusals in the words of OAuth (RFC 6749, section 5.2), for clients that know no others."""

from typing import Final

from shared.asgi import Answer, error_headers
from shared.errors import SutazaiError
from shared.strict_json import dump

_BY_STATUS: Final = {
    401: "invalid_client",
    403: "access_denied",
    404: "invalid_request",
    429: "temporarily_unavailable",
    500: "server_error",
    503: "temporarily_unavailable",
    504: "temporarily_unavailable",
}
_JSON: Final = (b"content-type", b"application/json")


def refusal(error: SutazaiError) -> Answer:
    """Descriptions there are printable ASCII without quotes."""
    said = "".join(letter if " " <= letter <= "~" and letter not in '"\\' else "'" for letter in error.message)
    body = dump({"error": name_of(error), "error_description": said})
    return Answer(error.status, body, (_JSON, *error_headers(error)))


def name_of(error: SutazaiError) -> str:
    named = error.details.get("error")
    return named if isinstance(named, str) else _BY_STATUS.get(error.status, "invalid_request")
