"""Handles that clients carry: what was given out opens, and nothing else does."""

import base64
import time
from typing import Any
from unittest.mock import patch
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from shared.dialogue import Dialogue
from shared.mcp.handles import SESSION_S, STATE_BYTES, STATE_S, Handles, subject
from shared.mcp.wire import LEGACY

HANDLES = Handles(b"k" * 32, "/mcp/everything")
ADA, BOB = UUID(int=1), UUID(int=2)
ABOUT = subject("tools/call", "echo", {"a": 1, "b": [{"c": 2, "d": 3}]})

kinds = st.frozensets(st.sampled_from(["elicitation", "sampling", "roots"]))
numbers = st.integers(-(1 << 63), (1 << 63) - 1) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
dialogues = st.builds(Dialogue, answers=st.dictionaries(st.text(), json_values, max_size=4))


def _later(seconds: float) -> Any:
    now = time.time()
    return patch.object(time, "time", lambda: now + seconds)


@given(st.uuids(), st.sampled_from(LEGACY), kinds)
def test_a_session_is_what_it_was_begun_as(user_id: UUID, version: str, asked: frozenset[str]) -> None:
    handle = HANDLES.begin(user_id, version, asked)
    session = HANDLES.session(user_id, handle)
    assert session is not None
    assert (session.version, session.kinds) == (version, asked)
    assert all("!" <= character <= "~" for character in handle)
    other = HANDLES.session(user_id, HANDLES.begin(user_id, version, asked))
    assert other is not None and other.id != session.id


@given(st.uuids(), dialogues, json_values)
def test_a_state_brings_back_what_it_was_given(user_id: UUID, dialogue: Dialogue, kept: Any) -> None:
    state = HANDLES.state(user_id, ABOUT, dialogue, kept)
    assert state is not None
    assert HANDLES.resumed(user_id, ABOUT, state) == Dialogue(answers=dialogue.answers, state=kept)


@given(st.data())
def test_a_change_anywhere_makes_it_nothing(data: st.DataObject) -> None:
    given_out = [HANDLES.begin(ADA, LEGACY[0], frozenset({"sampling"})), HANDLES.question(ADA)]
    given_out.append(str(HANDLES.state(ADA, ABOUT, Dialogue(answers={"a": {"b": 1}}), "kept")))
    for whole in given_out:
        # Drawn before anything depends on the handle, which is new each time.
        place, end = (data.draw(st.integers(0, len(whole) - 1)) for _ in range(2))
        other, more = data.draw(st.characters(codec="utf-8")), data.draw(st.text(min_size=1, max_size=3))
        changed = whole[:place] + other + whole[place + 1 :]
        for wrong in {changed, whole[:end], whole + more} - {whole}:
            assert HANDLES.session(ADA, wrong) is None
            assert HANDLES.resumed(ADA, ABOUT, wrong) is None
            assert not HANDLES.is_question(ADA, wrong)


@given(st.text() | st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode().rstrip("=")))
def test_what_was_never_given_out_is_nothing(text: str) -> None:
    assert HANDLES.session(ADA, text) is None
    assert HANDLES.resumed(ADA, ABOUT, text) is None
    assert not HANDLES.is_question(ADA, text)


def test_nobody_else_can_use_it_and_a_state_no_other_server() -> None:
    elsewhere = Handles(b"k" * 32, "/mcp/filesystem")
    other_key = Handles(b"x" * 32, "/mcp/everything")
    handle, question = HANDLES.begin(ADA, LEGACY[0], frozenset()), HANDLES.question(ADA)
    state = HANDLES.state(ADA, ABOUT, Dialogue(), None)
    assert state is not None
    for handles, user_id in ((HANDLES, BOB), (other_key, ADA), (elsewhere, BOB)):
        assert handles.session(user_id, handle) is None
        assert handles.resumed(user_id, ABOUT, state) is None
        assert not handles.is_question(user_id, question)
    assert elsewhere.resumed(ADA, ABOUT, state) is None
    # What began at one server of ours goes on at another.
    assert HANDLES.is_question(ADA, question) and elsewhere.is_question(ADA, question)
    assert elsewhere.session(ADA, handle) == HANDLES.session(ADA, handle)


def test_a_state_is_for_its_own_request_in_whatever_order_its_arguments_come() -> None:
    state = HANDLES.state(ADA, ABOUT, Dialogue(), None)
    assert state is not None
    same = subject("tools/call", "echo", {"b": [{"d": 3, "c": 2}], "a": 1})
    others = [
        subject("prompts/get", "echo", {"a": 1, "b": [{"c": 2, "d": 3}]}),
        subject("tools/call", "get-sum", {"a": 1, "b": [{"c": 2, "d": 3}]}),
        subject("tools/call", "echo", {"a": 1, "b": [{"c": 2, "d": 4}]}),
        subject("tools/call", "echo", {"a": 1}),
    ]
    assert HANDLES.resumed(ADA, same, state) is not None
    assert [HANDLES.resumed(ADA, other, state) for other in others] == [None] * len(others)


def test_what_is_over_is_over() -> None:
    handle, state = HANDLES.begin(ADA, LEGACY[0], frozenset()), HANDLES.state(ADA, ABOUT, Dialogue(), None)
    assert state is not None
    with _later(STATE_S - 5):
        assert HANDLES.resumed(ADA, ABOUT, state) is not None
    with _later(STATE_S + 5):
        assert HANDLES.resumed(ADA, ABOUT, state) is None
        assert HANDLES.session(ADA, handle) is not None
    with _later(SESSION_S + 5):
        assert HANDLES.session(ADA, handle) is None


def test_more_than_can_be_carried_is_not_given_out() -> None:
    assert HANDLES.state(ADA, ABOUT, Dialogue(answers={"a": "x" * STATE_BYTES}), None) is None
