"""What the tools of the sequential-thinking agent do, sentence by sentence."""

import asyncio
import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from functions.agents.sequential_thinking.sequentialthinking import NextThought
from shared.config import Settings
from tests.agents.called import Called, Refused, Replica, at, at_two

AGENT = "sequential-thinking"


def _thought(number: int = 1, total: int = 5, **more: Any) -> dict[str, Any]:
    return {
        "thought": f"step {number}",
        "thoughtNumber": number,
        "totalThoughts": total,
        "nextThoughtNeeded": True,
        **more,
    }


async def _think(thinking: Called, *args: int, **more: Any) -> Any:
    return await thinking("sequentialthinking", **_thought(*args, **more))


def test_a_thought_is_answered_by_where_the_thinking_stands(settings: Settings) -> None:
    async def play(here: Replica) -> None:
        thinking = await here.newcomer()
        assert await _think(thinking, 1, 3) == {
            "thoughtNumber": 1,
            "totalThoughts": 3,
            "nextThoughtNeeded": True,
            "branches": [],
            "thoughtHistoryLength": 1,
        }
        assert await _think(thinking, 2, 3, nextThoughtNeeded=False) == {
            "thoughtNumber": 2,
            "totalThoughts": 3,
            "nextThoughtNeeded": False,
            "branches": [],
            "thoughtHistoryLength": 2,
        }

    at(settings, AGENT, play)


def test_a_thought_beyond_the_total_raises_it(settings: Settings) -> None:
    async def play(here: Replica) -> None:
        thinking = await here.newcomer()
        assert (await _think(thinking, 7, 3))["totalThoughts"] == 7
        assert (await thinking("read_thoughts"))["thoughts"][0]["totalThoughts"] == 7

    at(settings, AGENT, play)


def test_a_branch_needs_its_origin_and_its_name(settings: Settings) -> None:
    async def play(here: Replica) -> None:
        thinking = await here.newcomer()
        assert (await _think(thinking, branchId="b"))["branches"] == []
        assert (await _think(thinking, branchFromThought=1))["branches"] == []
        assert (await _think(thinking, branchFromThought=1, branchId=""))["branches"] == []
        assert (await _think(thinking, branchFromThought=1, branchId="zweig"))["branches"] == ["zweig"]
        assert (await _think(thinking, branchFromThought=99, branchId="__proto__"))["branches"] == [
            "zweig",
            "__proto__",
        ]
        last = await _think(thinking, branchFromThought=2, branchId="zweig")
        assert (last["branches"], last["thoughtHistoryLength"]) == (["zweig", "__proto__"], 6)
        assert (await _think(thinking))["branches"] == ["zweig", "__proto__"]

    at(settings, AGENT, play)


def test_thoughts_are_read_back_whole_and_page_by_page(settings: Settings) -> None:
    async def play(here: Replica) -> None:
        thinking = await here.newcomer()
        revision = _thought(2, isRevision=True, revisesThought=1, needsMoreThoughts=False)
        branch = _thought(3, branchFromThought=1, branchId="b", thought="dénouement 🦆")
        given = [_thought(1), revision, branch]
        for thought in given:
            await thinking("sequentialthinking", **thought)
        kept = [{"position": number, **thought} for number, thought in enumerate(given, 1)]
        assert await thinking("read_thoughts") == {"thoughts": kept, "thoughtHistoryLength": 3}
        assert (await thinking("read_thoughts", branchId="b"))["thoughts"] == kept[2:]
        assert (await thinking("read_thoughts", branchId="c"))["thoughts"] == []
        pages = [await thinking("read_thoughts", after=after, limit=2) for after in (0, 2, 3)]
        assert [page["thoughts"] for page in pages] == [kept[:2], kept[2:], []]
        assert {page["thoughtHistoryLength"] for page in pages} == {3}

    at(settings, AGENT, play)


def test_each_session_and_each_user_thinks_alone(settings: Settings) -> None:
    async def play(here: Replica) -> None:
        thinking, other = await here.newcomer(), await here.newcomer()
        for session in ("", "a", "A"):
            named = {"sessionId": session} if session else {}
            answer = await _think(thinking, branchFromThought=1, branchId=f"of {session}", **named)
            assert (answer["branches"], answer["thoughtHistoryLength"]) == ([f"of {session}"], 1)
        assert (await _think(other, sessionId="a"))["branches"] == []
        assert (await other("read_thoughts", sessionId="A")) == {"thoughts": [], "thoughtHistoryLength": 0}
        assert (await thinking("read_thoughts", sessionId="a"))["thoughtHistoryLength"] == 1

    at(settings, AGENT, play)


def _next(**changed: Any) -> NextThought:
    return NextThought.model_validate_json(json.dumps(_thought(**changed)))


@pytest.mark.parametrize("spelled, meant", [("true", True), ("FALSE", False), ("False", False), (True, True)])
def test_truths_may_come_as_words(spelled: Any, meant: bool) -> None:
    request = _next(nextThoughtNeeded=spelled, isRevision=spelled, needsMoreThoughts=spelled)
    assert (request.next_thought_needed, request.is_revision, request.needs_more_thoughts) == (meant, meant, meant)


@given(st.integers(1, 2**53 - 1))
def test_numbers_may_come_as_digits(number: int) -> None:
    request = _next(thoughtNumber=str(number), branchFromThought=f" {number} ", revisesThought=f"{number}")
    assert (request.thought_number, request.branch_from_thought, request.revises_thought) == (number,) * 3


def test_a_whole_number_may_come_as_a_fraction() -> None:
    assert _next(thoughtNumber=3.0).thought_number == 3


@pytest.mark.parametrize(
    "changed",
    [
        {"thoughtNumber": 0},
        {"thoughtNumber": -1},
        {"thoughtNumber": 1.5},
        {"thoughtNumber": "one"},
        {"thoughtNumber": "٣"},
        {"thoughtNumber": ""},
        {"thoughtNumber": True},
        {"totalThoughts": 2**53},
        {"totalThoughts": None},
        {"nextThoughtNeeded": "yes"},
        {"nextThoughtNeeded": 1},
        {"isRevision": ""},
        {"revisesThought": 0},
        {"branchFromThought": "0"},
        {"branchId": 7},
        {"branchId": "b" * 201},
        {"sessionId": "s" * 201},
        {"thought": "t" * 20_001},
        {"thought": None},
        {"unheard": 1},
    ],
)
def test_what_is_no_thought_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        _next(**changed)


def test_a_refused_thought_is_not_kept(settings: Settings) -> None:
    async def play(here: Replica) -> None:
        thinking = await here.newcomer()
        with pytest.raises(Refused, match=r"VALIDATION_ERROR: .*nextThoughtNeeded: .*neither a boolean nor 'true'"):
            await _think(thinking, nextThoughtNeeded="perhaps")
        assert await thinking("read_thoughts") == {"thoughts": [], "thoughtHistoryLength": 0}

    at(settings, AGENT, play)


def test_of_many_thoughts_at_once_each_has_a_place_of_its_own(settings: Settings) -> None:
    async def play(one: Replica, other: Replica) -> None:
        mine = await one.newcomer()
        both = (mine, other.of(mine.user_id))
        answers = await asyncio.gather(
            *(_think(both[n % 2], n + 1, branchFromThought=1, branchId=f"b{n % 7}") for n in range(60))
        )
        assert sorted(answer["thoughtHistoryLength"] for answer in answers) == list(range(1, 61))
        kept = (await mine("read_thoughts"))["thoughts"]
        assert sorted(thought["thoughtNumber"] for thought in kept) == list(range(1, 61))
        # Whoever came later saw all that were before.
        by_place = {thought["position"]: thought["branchId"] for thought in kept}
        for answer in answers:
            before = [by_place[place] for place in range(1, answer["thoughtHistoryLength"] + 1)]
            assert answer["branches"] == list(dict.fromkeys(before))

    at_two(settings, AGENT, play)


def test_an_execution_that_runs_again_answers_as_before_and_adds_nothing(settings: Settings) -> None:
    async def play(one: Replica, other: Replica) -> None:
        mine = await one.newcomer()
        both, execution_id = (mine, other.of(mine.user_id)), uuid4()
        first = await _think(mine, branchFromThought=1, branchId="a", execution_id=execution_id)
        await _think(mine, branchFromThought=1, branchId="b")
        again = [_think(both[n % 2], branchFromThought=1, branchId="a", execution_id=execution_id) for n in range(6)]
        assert await asyncio.gather(*again) == [first] * 6
        assert (await mine("read_thoughts"))["thoughtHistoryLength"] == 2

    at_two(settings, AGENT, play)


def test_a_full_session_is_left_as_it_is_and_another_goes_on(settings: Settings) -> None:
    async def play(here: Replica) -> None:
        thinking = await here.newcomer()
        await _think(thinking)
        set_to = "UPDATE thought_sessions SET thoughts = $1, size_bytes = $2, branches = $3"
        await here.database.execute(set_to, 10_000, 0, 0)
        with pytest.raises(Refused, match=r"TOOL_ERROR: this session is full with 10000 thoughts .* another sessionId"):
            await _think(thinking)
        await here.database.execute(set_to, 1, 8 << 20, 0)
        with pytest.raises(Refused, match="8388608 bytes"):
            await _think(thinking)
        await here.database.execute(set_to, 1, 0, 1000)
        with pytest.raises(Refused, match="has 1000 branches, the most"):
            await _think(thinking, branchFromThought=1, branchId="b")
        assert (await _think(thinking))["thoughtHistoryLength"] == 2
        assert (await _think(thinking, sessionId="next"))["thoughtHistoryLength"] == 1

    at(settings, AGENT, play)


def test_sessions_are_as_many_as_there_may_be(settings: Settings) -> None:
    async def play(here: Replica) -> None:
        thinking = await here.newcomer()
        await _think(thinking, sessionId="first")
        await here.database.execute(
            "INSERT INTO thought_sessions (id, user_id, handle_key, expires_at) SELECT gen_random_uuid(), user_id,"
            " int4send(n), now() + interval '1 day' FROM thinkers, generate_series(2, 1000) n"
        )
        with pytest.raises(Refused, match="there are 1000 sessions"):
            await _think(thinking)
        assert (await _think(thinking, sessionId="first"))["thoughtHistoryLength"] == 2
        await here.database.execute("UPDATE thought_sessions SET expires_at = now() WHERE handle_key = int4send(7)")
        assert (await _think(thinking))["thoughtHistoryLength"] == 1

    at(settings, AGENT, play)


def test_the_common_line_begins_anew_after_a_day_and_a_named_one_after_thirty(settings: Settings) -> None:
    async def play(here: Replica) -> None:
        thinking = await here.newcomer()
        passed = "UPDATE thought_sessions SET expires_at = expires_at - $1::interval"
        lines: list[tuple[dict[str, Any], int]] = [({}, 1), ({"sessionId": "s"}, 30)]
        for named, days in lines:
            await _think(thinking, **named)
            await here.database.execute(passed, timedelta(days=days, hours=-1))
            assert (await _think(thinking, **named))["thoughtHistoryLength"] == 2
            await here.database.execute(passed, timedelta(days=days, hours=1))
            assert (await thinking("read_thoughts", **named))["thoughtHistoryLength"] == 0
            assert (await _think(thinking, **named))["thoughtHistoryLength"] == 1
            assert await here.database.fetchval("SELECT count(*) FROM thoughts") == 1

    at(settings, AGENT, play)


def test_thoughts_go_with_their_user(settings: Settings) -> None:
    async def play(one: Replica, other: Replica) -> None:
        for _ in range(5):
            mine = await one.newcomer()
            thinkers = [_think(other.of(mine.user_id), branchFromThought=1, branchId="b") for _ in range(6)]
            *answers, erased = await asyncio.gather(*thinkers, one.users.erase(mine.user_id), return_exceptions=True)
            assert erased is True
            assert all(str(a).startswith("NOT_FOUND") for a in answers if isinstance(a, BaseException))
        for table in ("thinkers", "thought_sessions", "thought_branches", "thoughts"):
            assert await one.database.fetchval(f"SELECT count(*) FROM {table}") == 0

    at_two(settings, AGENT, play)


def test_no_text_lies_in_the_rows_but_in_sealed_columns(settings: Settings) -> None:
    async def play(here: Replica) -> None:
        thinking = await here.newcomer()
        named: dict[str, Any] = {"branchFromThought": 1, "branchId": "MARKER-branch", "sessionId": "MARKER-session"}
        await _think(thinking, thought="MARKER-thought", **named)
        for table in ("thinkers", "thought_sessions", "thought_branches", "thoughts"):
            for row in await here.database.fetch(f"SELECT * FROM {table}"):
                rest = dict(row.items())
                assert b"MARKER" in rest.pop("body", b"MARKER")
                assert "MARKER" not in str(rest)

    at(settings, AGENT, play)
