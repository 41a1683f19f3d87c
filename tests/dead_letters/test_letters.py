"""What is kept of what was refused, and how operators look at it."""

import base64
import hashlib
import secrets
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.dead_letters import DeadLetterRecorded
from functions.users.delete_me import DeleteMe, delete_me
from shared.cloud_events import envelope
from shared.config import Settings
from shared.stores.postgres.dead_letters import _raw
from tests.dead_letters.office import CONSUMER, PATH, Office, data_of, disabled, error_of, in_office
from tests.people import PASSWORD

KEPT = 64 * 1024


def _document(event: Any) -> dict[str, Any]:
    document: dict[str, Any] = event.model_dump(mode="json", by_alias=True, exclude_none=True)
    return document


def test_a_letter_tells_what_was_refused_by_whom_and_why(settings: Settings) -> None:
    async def scenario(office: Office) -> None:
        event = disabled(agent="everything", sequence=3)
        await office.letters.refuse(CONSUMER, event, reason="attempts", error="away", attempts=5)
        [listed] = await office.all()
        letter = data_of(await office.operator.get(f"{PATH}/{listed['id']}"))
        assert letter == listed
        del letter["id"], letter["at"]
        assert letter == {
            "reason": "attempts",
            "consumer": CONSUMER,
            "agent": "everything",
            "event": _document(event),
            "error": "away",
            "attempts": 5,
        }

    in_office(settings, scenario)


def test_letters_are_listed_newest_first_each_once(settings: Settings) -> None:
    async def scenario(office: Office) -> None:
        made = [await office.refused() for _ in range(7)]
        listed = [letter["id"] for letter in await office.all(limit=3)]
        assert listed == made[::-1]
        page = data_of(await office.operator.get(PATH, params={"limit": 7}))
        assert len(page["dead_letters"]) == 7 and page["next_cursor"] is None

    in_office(settings, scenario)


def test_letters_are_listed_by_reason_and_by_agent(settings: Settings) -> None:
    async def scenario(office: Office) -> None:
        for reason in ("refused", "conflict"):
            for agent in (None, "everything", "filesystem"):
                await office.letters.refuse("c", disabled(agent=agent), reason=reason, error="")

        async def found(**query: str) -> list[tuple[str, str | None]]:
            return [(letter["reason"], letter["agent"]) for letter in await office.all(limit=2, **query)]

        agents = ("filesystem", "everything", None)
        assert await found(reason="conflict") == [("conflict", agent) for agent in agents]
        assert await found(agent="everything") == [("conflict", "everything"), ("refused", "everything")]
        assert await found(agent="filesystem", reason="refused") == [("refused", "filesystem")]
        assert await found(agent="nobody") == [] and await found(reason="task") == []

    in_office(settings, scenario)


@pytest.mark.parametrize("query", ["reason=lost", "limit=0", "limit=201", "cursor=x", f"agent={'a' * 65}", "page=1"])
def test_a_list_refuses_what_it_does_not_know(settings: Settings, query: str) -> None:
    async def scenario(office: Office) -> None:
        assert error_of(await office.operator.get(f"{PATH}?{query}"))[:2] == (400, "VALIDATION_ERROR")

    in_office(settings, scenario)


def test_the_same_event_refused_again_by_the_same_consumer_for_the_same_reason_is_kept_once(
    settings: Settings,
) -> None:
    async def scenario(office: Office) -> None:
        event = disabled()
        for _ in range(2):
            await office.letters.refuse("one", event, reason="refused", error="no")
        assert len(await office.all()) == 1
        await office.letters.refuse("other", event, reason="refused", error="no")
        await office.letters.refuse("one", event, reason="failed", error="KeyError")
        await office.letters.refuse(
            "one", event.model_copy(update={"data": {"user_id": "changed"}}), reason="refused", error="no"
        )
        assert len(await office.all()) == 4

    in_office(settings, scenario)


@pytest.mark.parametrize("size", [2_600, 2_800, 9_000, 300_000])
def test_events_of_any_size_are_kept_once(settings: Settings, size: int) -> None:
    async def scenario(office: Office) -> None:
        # What compresses would fit where this does not.
        event = disabled(data={"noise": secrets.token_hex(size // 2)})
        for _ in range(2):
            await office.letters.refuse("c", event, reason="refused", error="no")
        [letter] = await office.all()
        assert letter["event"] == _document(event)

    in_office(settings, scenario)


def test_a_page_of_large_events_ends_early_and_loses_none(settings: Settings) -> None:
    async def scenario(office: Office) -> None:
        made = [await office.refused(disabled(data={"noise": secrets.token_hex(1 << 20)})) for _ in range(7)]
        page = data_of(await office.operator.get(PATH, params={"limit": 200}))
        assert [letter["id"] for letter in page["dead_letters"]] == made[:4:-1] and page["next_cursor"]
        assert [letter["id"] for letter in await office.all(limit=200)] == made[::-1]

    in_office(settings, scenario)


def test_an_error_is_kept_whatever_characters_it_has(settings: Settings) -> None:
    async def scenario(office: Office) -> None:
        await office.letters.refuse("c", disabled(), reason="refused", error="a\0b\ud800c" + "x" * 2000)
        [letter] = await office.all()
        assert letter["error"] == "a\ufffdb\ufffdc" + "x" * 995

    in_office(settings, scenario)


# --- what nobody can parse -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body, encoding, kept",
    [
        (b'{"half": ', "text", '{"half": '),
        (b"", "text", ""),
        ("\u00e9".encode(), "text", "\u00e9"),
        (b"\xff\xfe", "base64", "//4="),
        (b"a\0b", "base64", "YQBi"),
        (b"x" * (KEPT + 1), "text", "x" * KEPT),
        # A character is not cut in two.
        (b"x" * (KEPT - 1) + "\u20ac".encode(), "text", "x" * (KEPT - 1)),
    ],
    ids=["text", "empty", "UTF-8", "binary", "NUL", "long", "cut"],
)
def test_a_body_that_nobody_can_parse_is_kept_raw(settings: Settings, body: bytes, encoding: str, kept: str) -> None:
    async def scenario(office: Office) -> None:
        for _ in range(2):
            await office.letters.unreadable(CONSUMER, body, content_type="application/json", error="not JSON")
        [letter] = await office.all(reason="unreadable")
        del letter["id"], letter["at"]
        assert letter == {
            "reason": "unreadable",
            "consumer": CONSUMER,
            "agent": None,
            "event": {
                "body": kept,
                "encoding": encoding,
                "content_type": "application/json",
                "size_bytes": len(body),
                "sha256": hashlib.sha256(body).hexdigest(),
            },
            "error": "not JSON",
            "attempts": 1,
        }

    in_office(settings, scenario)


def test_long_bodies_that_differ_only_in_what_is_cut_off_are_two_letters(settings: Settings) -> None:
    async def scenario(office: Office) -> None:
        for end in (b"a", b"b"):
            await office.letters.unreadable("c", b"x" * KEPT + end, content_type="", error="")
        assert len(await office.all()) == 2

    in_office(settings, scenario)


@given(st.binary() | st.text().map(str.encode))
def test_a_kept_body_can_be_had_back(body: bytes) -> None:
    kept = _raw(body, "text/plain")
    text = str(kept["body"])
    assert (base64.b64decode(text) if kept["encoding"] == "base64" else text.encode()) == body


# --- telling, giving up, erasing -----------------------------------------------------------------------------------


def test_each_letter_is_told_of_once_and_one_about_a_telling_is_not(settings: Settings) -> None:
    async def scenario(office: Office) -> None:
        event = disabled()
        letter_id = await office.refused(event)
        await office.refused(event)
        telling = DeadLetterRecorded(letter_id=uuid4(), reason="failed", consumer="c")
        await office.refused(envelope(telling, source="/functions/refuse", subject=str(telling.letter_id)))
        query = "SELECT subject, user_id, data FROM events WHERE type = 'dead_letter.recorded.v1'"
        [told] = await office.database.fetch(query)
        data = {"letter_id": letter_id, "reason": "failed", "consumer": CONSUMER, "agent": None}
        assert tuple(told) == (letter_id, None, data)

    in_office(settings, scenario)


def test_a_deleted_letter_is_gone_and_the_audit_trail_says_who_did_it(settings: Settings) -> None:
    async def scenario(office: Office) -> None:
        letter_id, other = await office.refused(), await office.refused()
        where = f"{PATH}/{letter_id}"
        assert data_of(await office.operator.delete(where)) == {"id": letter_id, "deleted": True}
        for answer in (await office.operator.get(where), await office.operator.delete(where)):
            assert error_of(answer) == (404, "NOT_FOUND", f"no dead letter '{letter_id}'")
        assert [letter["id"] for letter in await office.all()] == [other]
        assert await office.acts() == [
            office.act("delete_dead_letter", letter_id),
            office.act("delete_dead_letter", letter_id, "refused"),
        ]

    in_office(settings, scenario)


def test_erasing_a_user_deletes_their_letters_and_no_other(settings: Settings) -> None:
    async def scenario(office: Office) -> None:
        ada = await office.here.registered_caller("ada")
        bob = await office.user("bob")
        for user_id in (ada.user_id, bob.id):
            await office.refused(disabled(user_id))
            await office.given_up(user_id)
            for body in (f'{{"userid": "{user_id}"', f"{str(user_id).upper()}\0", f"\u00e9\0{user_id}"):
                await office.letters.unreadable("c", body.encode(), content_type="", error="")
        assert len(await office.all()) == 10
        here = office.here
        await delete_me(
            DeleteMe(password=PASSWORD),
            caller=ada,
            users=here.users,
            passwords=here.passwords,
            throttle=here.throttle,
        )
        left = await office.all()
        assert len(left) == 5 and str(ada.user_id) not in str(left).lower()
        query = "SELECT count(*) FROM events WHERE type = 'dead_letter.recorded.v1' AND events::text LIKE $1"
        assert await office.database.fetchval(query, f"%{ada.user_id}%") == 0

    in_office(settings, scenario)
