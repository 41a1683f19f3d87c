"""CloudEvents over HTTP, both modes, behind one module: another library or version is then one change."""

import re
from collections.abc import Mapping
from urllib.parse import unquote
from uuid import UUID, uuid4

from pydantic import ValidationError

from events.base import Envelope, Event
from events.dead_letters import EventUndelivered
from shared.errors import Invalid
from shared.strict_json import Json, check, dump, parse

STRUCTURED = "application/cloudevents+json"
_HOST = re.compile(r"https?://([a-z0-9-]{1,63})[.:/]")
_STATUS = re.compile(r"[1-5][0-9]{2}")


def decode(headers: Mapping[bytes, bytes], body: bytes) -> Envelope:
    """Raises Invalid for what is no single CloudEvent with a JSON object as its data."""
    return _envelope(_attributes(headers, body))


def decode_at_sink(headers: Mapping[bytes, bytes], body: bytes) -> Envelope:
    """As `decode`; but what Knative's broker says that it has given up on comes as EventUndelivered.

    Its consumer goes by the first label of the host that it was to reach.
    """
    attributes = _attributes(headers, body)
    event, meant_for = _envelope(attributes), attributes.get("knativeerrordest")
    if not isinstance(meant_for, str):
        return event
    host = _HOST.match(meant_for)
    code = str(attributes.get("knativeerrorcode"))
    status = int(code) if _STATUS.fullmatch(code) else None
    undelivered = EventUndelivered(consumer=host[1] if host else "?", status=status, event=event)
    return envelope(undelivered, source="/broker", subject=event.id, user_id=event.user_id)


def _attributes(headers: Mapping[bytes, bytes], body: bytes) -> dict[str, Json]:
    content_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if content_type == STRUCTURED.encode():
        attributes = parse(body)
        if not isinstance(attributes, dict):
            raise Invalid("a CloudEvent is a JSON object")
    elif b"ce-specversion" in headers:
        attributes = _from_headers(headers)
        attributes["data"] = _data(content_type, body)
    else:
        raise Invalid(f"this is no CloudEvent: neither {STRUCTURED} nor a ce-specversion header")
    if attributes.get("data") is None:
        attributes.pop("data", None)
    return attributes


def _envelope(attributes: Mapping[str, Json]) -> Envelope:
    try:
        return Envelope.model_validate(attributes)
    except ValidationError as exc:
        places = ", ".join(".".join(map(str, error["loc"])) for error in exc.errors())
        raise Invalid(f"attributes missing or wrong: {places}") from None


def _from_headers(headers: Mapping[bytes, bytes]) -> dict[str, Json]:
    try:
        attributes: dict[str, Json] = {
            name[3:].decode("ascii"): unquote(value.decode("ascii"), errors="strict")
            for name, value in headers.items()
            if name.startswith(b"ce-")
        }
    except UnicodeDecodeError:
        raise Invalid("an attribute is not percent-encoded UTF-8") from None
    check(attributes)
    return attributes


def _data(content_type: bytes, body: bytes) -> Json:
    if not body:
        return None
    if content_type != b"application/json" and not content_type.endswith(b"+json"):
        raise Invalid(f"data is {content_type.decode('latin-1')!r}, not JSON")
    return parse(body)


def envelope(
    event: Event, *, source: str, subject: str, agent: str | None = None, user_id: UUID | None = None
) -> Envelope:
    data = event.model_dump(mode="json", by_alias=True)
    return Envelope(
        id=str(uuid4()), source=source, type=event.type, subject=subject, agent=agent, userid=user_id, data=data
    )


def encode(event: Envelope) -> bytes:
    """The structured mode, as `application/cloudevents+json`."""
    attributes: Json = event.model_dump(mode="json", by_alias=True, exclude_none=True)
    return dump(attributes)
