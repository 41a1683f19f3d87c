"""CloudEvents over HTTP, against the package of the CloudEvents project in both modes."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from cloudevents.conversion import to_binary, to_structured
from cloudevents.http import CloudEvent, from_http
from hypothesis import given
from hypothesis import strategies as st

from events.users import UserDisabled
from shared.cloud_events import STRUCTURED, decode, encode, envelope
from shared.errors import Invalid

USER = UUID(int=7)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
ATTRIBUTES = st.fixed_dictionaries(
    {"type": TEXT, "source": TEXT, "id": TEXT},
    optional={"subject": TEXT, "agent": TEXT, "userid": st.uuids().map(str)},
)
DATA = st.dictionaries(TEXT, st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXT, max_size=4)


def _headers(headers: dict[str, str]) -> dict[bytes, bytes]:
    return {name.lower().encode(): value.encode("latin-1") for name, value in headers.items()}


def _ours(attributes: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    return {**attributes, "data": data}


def _told(event: Any) -> dict[str, Any]:
    attributes = event.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {name: value for name, value in attributes.items() if name not in ("specversion", "time", "datacontenttype")}


@given(ATTRIBUTES, DATA)
def test_structured_events_of_others_are_understood(attributes: dict[str, Any], data: dict[str, Any]) -> None:
    headers, body = to_structured(CloudEvent(attributes, data))
    assert _told(decode(_headers(headers), body)) == _ours(attributes, data)


VISIBLE = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='%"'), min_size=1, max_size=20
)
PLAIN = st.fixed_dictionaries(
    {"type": VISIBLE, "source": VISIBLE, "id": VISIBLE}, optional={"subject": VISIBLE, "agent": VISIBLE}
)


@given(PLAIN, DATA)
def test_binary_events_of_others_are_understood(attributes: dict[str, Any], data: dict[str, Any]) -> None:
    event = CloudEvent({**attributes, "datacontenttype": "application/json"}, data)
    headers, body = to_binary(event)
    assert _told(decode(_headers(headers), body)) == _ours(attributes, data)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20))
def test_ours_are_understood_by_others(subject: str) -> None:
    ours = envelope(UserDisabled(user_id=USER), source="/functions/test", subject=subject, agent="a", user_id=USER)
    theirs = from_http({"content-type": STRUCTURED}, encode(ours))
    assert theirs.get_attributes()["type"] == "user.disabled.v1"
    assert (theirs["id"], theirs["source"], theirs["subject"]) == (ours.id, "/functions/test", subject)
    assert (theirs["agent"], theirs["userid"]) == ("a", str(USER))
    assert theirs.get_data() == {"user_id": str(USER)}
    assert decode({b"content-type": STRUCTURED.encode()}, encode(ours)) == ours


WHOLE: dict[str, Any] = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": {"a": 1}}


def _structured(**changes: Any) -> bytes:
    event = {**WHOLE, **changes}
    return json.dumps({name: value for name, value in event.items() if value is not ...}).encode()


def test_a_media_type_may_have_parameters_and_capitals() -> None:
    headers = {b"content-type": b"Application/CloudEvents+JSON; charset=utf-8"}
    assert decode(headers, _structured()).data == {"a": 1}


def test_times_sequences_and_unknown_extensions_are_taken() -> None:
    body = _structured(time="2026-11-23T01:02:03Z", sequence=4, comexample="x", data=None)
    event = decode({b"content-type": STRUCTURED.encode()}, body)
    assert (event.time, event.sequence, event.data) == (datetime(2026, 11, 23, 1, 2, 3, tzinfo=UTC), 4, {})


@pytest.mark.parametrize(
    "changes",
    [
        *({name: ...} for name in ("id", "source", "type")),
        *({name: ""} for name in ("id", "source", "type")),
        *({name: "x" * 201} for name in ("id", "source", "type", "subject")),
        {"specversion": "0.3"},
        {"specversion": "1.0\n"},
        {"data": [1]},
        {"data": "text"},
        {"userid": "nobody"},
        {"sequence": -1},
        {"time": "yesterday"},
    ],
    ids=str,
)
def test_a_structured_event_that_is_none_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        decode({b"content-type": STRUCTURED.encode()}, _structured(**changes))


@pytest.mark.parametrize("body", [b"", b"[]", b"[{}]", b"null", b"{", b'{"id": "1", "id": "2"}', b"\xff"])
def test_a_body_that_is_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid):
        decode({b"content-type": STRUCTURED.encode()}, body)


BINARY = {
    b"content-type": b"application/json",
    b"ce-specversion": b"1.0",
    b"ce-id": b"1",
    b"ce-source": b"/s",
    b"ce-type": b"t",
}


def test_attributes_in_headers_are_percent_decoded() -> None:
    event = decode({**BINARY, b"ce-subject": b"Euro%20%E2%82%AC%20%F0%9F%98%80"}, b'{"a": 1}')
    assert (event.subject, event.data) == ("Euro € 😀", {"a": 1})


def test_an_event_without_data_has_none() -> None:
    assert decode(BINARY, b"").data == {}


@pytest.mark.parametrize("media", [b"text/plain", b"", b"application/xml", b"application/jsonp"])
def test_data_that_is_no_json_is_refused(media: bytes) -> None:
    with pytest.raises(Invalid):
        decode({**BINARY, b"content-type": media}, b"{}")


@pytest.mark.parametrize(
    "changes",
    [
        *({name: None} for name in (b"ce-id", b"ce-source", b"ce-type", b"ce-specversion")),
        {b"ce-specversion": b"2.0"},
        {b"ce-subject": b"%FF"},
        {b"ce-subject": b"\xe9"},
        {b"ce-data": b"{}", b"ce-id": None},
    ],
    ids=str,
)
def test_a_binary_event_that_is_none_is_refused(changes: dict[bytes, bytes | None]) -> None:
    headers = {name: value for name, value in {**BINARY, **changes}.items() if value is not None}
    with pytest.raises(Invalid):
        decode(headers, b"{}")


def test_a_header_cannot_stand_in_for_the_data() -> None:
    event = decode({**BINARY, b"ce-data": b"forged"}, b'{"a": 1}')
    assert event.data == {"a": 1}


def test_a_batch_is_refused() -> None:
    with pytest.raises(Invalid):
        decode({b"content-type": b"application/cloudevents-batch+json"}, b"[" + _structured() + b"]")


@pytest.mark.parametrize("name", [b"ce-id", b"ce-subject"])
def test_a_nul_in_an_attribute_is_refused(name: bytes) -> None:
    with pytest.raises(Invalid):
        decode({**BINARY, name: b"a%00b"}, b"{}")
