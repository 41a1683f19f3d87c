"""Another chance for what was refused: once, for the one who failed, and nothing is lost when it cannot be."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from functions.dead_letters.replay_dead_letter import ReplayDeadLetter, replay_dead_letter
from shared.catalog import all_functions
from shared.config import Settings
from shared.errors import Unavailable
from shared.function import Caller, OnEvent
from shared.stores.postgres.dead_letters import PostgresDeadLetters
from shared.stores.postgres.events import ENVELOPE, envelope_of
from tests.dead_letters.office import CONSUMER, GIVEN_UP, Office, data_of, disabled, error_of, in_office

CONSUMERS = [spec.deployed for spec in all_functions() if isinstance(spec.trigger, OnEvent)]


async def _copies(office: Office) -> list[Any]:
    return await office.database.fetch(f"SELECT consumer, {ENVELOPE} FROM events WHERE consumer IS NOT NULL")


async def _tasks(office: Office) -> int:
    count: int = await office.database.fetchval("SELECT count(*) FROM agent_executions")
    return count


async def _stays(office: Office, letter_id: str, answer: httpx.Response, message: str) -> None:
    """It was refused, and the letter is as it was."""
    assert error_of(answer) == (409, "CONFLICT", message)
    assert [letter["id"] for letter in await office.all()] == [letter_id]
    assert await office.acts() == [office.act("replay_dead_letter", letter_id, "refused")]
    assert await _copies(office) == []


# --- events --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"agent": "everything", "sequence": 7, "time": datetime(2024, 2, 29, 23, 59, 59, 123456, UTC)},
        {"time": datetime(2024, 2, 29, tzinfo=UTC), "user_id": None, "data": {"nested": {"none": None, "n": 1.5}}},
    ],
    ids=["whole", "sparse"],
)
def test_an_event_is_sent_again_as_it_was_to_the_consumer_that_failed(
    settings: Settings, changes: dict[str, Any]
) -> None:
    async def scenario(office: Office) -> None:
        event = disabled(**changes)
        letter_id = await office.refused(event)
        assert data_of(await office.replay(letter_id), 202) == {"id": letter_id, "replayed": "event", "task_id": None}
        [row] = await _copies(office)
        assert (row["consumer"], envelope_of(row)) == (CONSUMER, event)
        assert await office.all() == []
        assert await office.acts() == [office.act("replay_dead_letter", letter_id)]

    in_office(settings, scenario)


@pytest.mark.parametrize("reason", ["refused", "failed", "attempts", "conflict"])
def test_an_event_is_sent_again_whyever_it_was_refused(settings: Settings, reason: Any) -> None:
    async def scenario(office: Office) -> None:
        await office.letters.refuse(CONSUMER, disabled(), reason=reason, error="")
        assert data_of(await office.replay(await office.newest()), 202)["replayed"] == "event"
        assert len(await _copies(office)) == 1

    in_office(settings, scenario)


@pytest.mark.parametrize("consumer", CONSUMERS)
def test_what_any_consumer_refused_can_be_sent_again(settings: Settings, consumer: str) -> None:
    async def scenario(office: Office) -> None:
        letter_id = await office.refused(consumer=consumer)
        assert data_of(await office.replay(letter_id), 202)["replayed"] == "event"

    in_office(settings, scenario)


def test_an_event_whose_consumer_is_gone_stays_a_dead_letter(settings: Settings) -> None:
    async def scenario(office: Office) -> None:
        letter_id = await office.refused(consumer="users-greet-user")
        message = "no function 'users-greet-user' consumes events any more"
        await _stays(office, letter_id, await office.replay(letter_id), message)

    in_office(settings, scenario)


@pytest.mark.parametrize(
    "changes",
    [{"id": "of-another-system"}, {"subject": None}, {"sequence": 1 << 31}, {"time": datetime(2024, 1, 1)}],  # noqa: DTZ001
    ids=["id", "subject", "sequence", "time"],
)
def test_an_event_that_the_record_cannot_hold_stays_a_dead_letter(settings: Settings, changes: dict[str, Any]) -> None:
    async def scenario(office: Office) -> None:
        event = disabled(**changes)
        letter_id = await office.refused(event)
        message = f"the event {event.id!r} is not one that the record can hold, so it cannot be sent again"
        await _stays(office, letter_id, await office.replay(letter_id), message)

    in_office(settings, scenario)


def test_what_nobody_can_parse_stays_a_dead_letter(settings: Settings) -> None:
    async def scenario(office: Office) -> None:
        await office.letters.unreadable(CONSUMER, b"\xff", content_type="", error="")
        letter_id = await office.newest()
        message = "nobody could read this, so it cannot be sent again"
        await _stays(office, letter_id, await office.replay(letter_id), message)

    in_office(settings, scenario)


def test_an_unknown_letter_is_not_found(settings: Settings) -> None:
    async def scenario(office: Office) -> None:
        letter_id = str(uuid4())
        assert error_of(await office.replay(letter_id)) == (404, "NOT_FOUND", f"no dead letter '{letter_id}'")
        assert await office.acts() == [office.act("replay_dead_letter", letter_id, "refused")]

    in_office(settings, scenario)


@pytest.mark.parametrize("of", ["event", "task"])
def test_of_replays_at_the_same_time_one_is_done(settings: Settings, of: str) -> None:
    async def scenario(office: Office) -> None:
        if of == "event":
            letter_id = await office.refused()
        else:
            _, letter_id = await office.given_up((await office.user("ada")).id)
        answers = await asyncio.gather(*(office.replay(letter_id) for _ in range(6)))
        assert sorted(answer.status_code for answer in answers) == [202, 404, 404, 404, 404, 404]
        assert len(await _copies(office)) == (of == "event")
        assert await _tasks(office) == 2 * (of == "task")
        outcomes = [outcome for *_, outcome in await office.acts()]
        assert sorted(outcomes) == ["done", *["refused"] * 5]

    in_office(settings, scenario)


def test_a_replay_under_the_same_key_is_answered_the_same(settings: Settings) -> None:
    async def scenario(office: Office) -> None:
        letter_id = await office.refused()
        key = {"Idempotency-Key": "k1"}
        first, second = await office.replay(letter_id, **key), await office.replay(letter_id, **key)
        assert data_of(first, 202) == data_of(second, 202) == {"id": letter_id, "replayed": "event", "task_id": None}
        assert len(await _copies(office)) == 1

    in_office(settings, scenario)


def test_a_replayed_event_is_none_of_its_tasks_changes(settings: Settings) -> None:
    async def scenario(office: Office) -> None:
        ada = await office.user("ada")
        task_id, _ = await office.given_up(ada.id)
        row = await office.database.fetchrow(f"SELECT {ENVELOPE} FROM events WHERE type = 'task.failed.v1'")
        before = await office.tasks.get(ada.id, task_id)
        letter_id = await office.refused(envelope_of(row))
        assert data_of(await office.replay(letter_id), 202)["replayed"] == "event"
        assert len(await _copies(office)) == 1
        assert await office.tasks.get(ada.id, task_id) == before

    in_office(settings, scenario)


# --- tasks ---------------------------------------------------------------------------------------------------------


def test_a_task_is_queued_once_more_for_its_owner(settings: Settings) -> None:
    async def scenario(office: Office) -> None:
        ada = await office.user("ada")
        old_id, letter_id = await office.given_up(ada.id, priority=7, timeout_ms=1234, ttl_s=60.0)
        done = data_of(await office.replay(letter_id), 202)
        new_id = UUID(done["task_id"])
        assert done == {"id": letter_id, "replayed": "task", "task_id": str(new_id)} and new_id != old_id
        old, new = await office.tasks.get(ada.id, old_id), await office.tasks.get(ada.id, new_id)
        assert old is not None and new is not None
        same = {"agent_id", "task", "priority", "timeout", "parameters", "max_attempts"}
        assert new.model_dump(include=same) == old.model_dump(include=same)
        assert (new.status, new.retry_of, new.parameters) == ("queued", old_id, {"message": "hello"})
        assert new.expires_at - new.created_at == old.expires_at - old.created_at
        assert await office.all() == [] and await _copies(office) == []
        assert await office.acts() == [office.act("replay_dead_letter", letter_id)]

    in_office(settings, scenario)


def test_a_replay_that_crashed_after_it_had_queued_the_task_queues_no_second_one(settings: Settings) -> None:
    class Crashing(PostgresDeadLetters):
        async def replayed_task(self, letter_id: UUID, *, actor: UUID) -> bool:
            raise Unavailable("away")

    async def scenario(office: Office) -> None:
        ada = await office.user("ada")
        _, letter_id = await office.given_up(ada.id)
        caller = Caller(user_id=office.operator_id, session_id=uuid4(), roles=frozenset(), scopes=frozenset())
        with pytest.raises(Unavailable):
            await replay_dead_letter(
                ReplayDeadLetter(letter_id=UUID(letter_id)),
                caller=caller,
                dead_letters=Crashing(database=office.database),
                tasks=office.tasks,
                users=office.here.users,
            )
        assert await _tasks(office) == 2
        done = data_of(await office.replay(letter_id), 202)
        assert await _tasks(office) == 2 and await office.tasks.get(ada.id, UUID(done["task_id"])) is not None
        assert await office.all() == []

    in_office(settings, scenario)


def test_a_task_that_dies_again_is_a_dead_letter_again(settings: Settings) -> None:
    async def scenario(office: Office) -> None:
        ada = await office.user("ada")
        _, letter_id = await office.given_up(ada.id)
        again = UUID(data_of(await office.replay(letter_id), 202)["task_id"])
        [held] = await office.queue.claim(await office.queue.join(["everything"], slot=None), "everything", ["echo"], 1)
        assert held.id == again
        await office.queue.finish(held, GIVEN_UP)
        [letter] = await office.all(reason="task")
        assert letter["event"]["subject"] == str(again) and letter["id"] != letter_id

    in_office(settings, scenario)


def test_a_task_that_was_trimmed_is_not_queued(settings: Settings) -> None:
    async def scenario(office: Office) -> None:
        task_id, letter_id = await office.given_up((await office.user("ada")).id)
        await office.database.execute("DELETE FROM agent_executions WHERE id = $1", task_id)
        await _stays(office, letter_id, await office.replay(letter_id), f"the task '{task_id}' is not kept any more")

    in_office(settings, scenario)


def test_nothing_is_queued_for_an_owner_who_could_not_ask_for_it_now(settings: Settings) -> None:
    async def scenario(office: Office) -> None:
        ada = await office.user("ada")
        _, letter_id = await office.given_up(ada.id)
        users, actor = office.here.users, office.operator_id
        await users.set_access(ada.id, actor=actor, roles=("auditor",), is_active=None)
        answer = await office.replay(letter_id)
        message = "the task's owner has the scope 'agents:execute' no more"
        await _stays(office, letter_id, answer, message)
        await users.set_access(ada.id, actor=actor, roles=("user",), is_active=False)
        assert error_of(await office.replay(letter_id)) == (409, "CONFLICT", "the task's owner is disabled")
        assert await _tasks(office) == 1

    in_office(settings, scenario)


@pytest.mark.parametrize(
    "agent, tool, message",
    [
        ("everything", "gone", "agent 'everything' has no tool 'gone'"),
        ("gone", "echo", "no agent 'gone'"),
    ],
)
def test_a_task_whose_tool_is_gone_is_not_queued(settings: Settings, agent: str, tool: str, message: str) -> None:
    async def scenario(office: Office) -> None:
        _, letter_id = await office.given_up((await office.user("ada")).id, agent=agent, tool=tool)
        await _stays(office, letter_id, await office.replay(letter_id), message)

    in_office(settings, scenario)


def test_a_task_waits_as_a_dead_letter_while_queues_are_full(settings: Settings) -> None:
    async def scenario(office: Office) -> None:
        ada = await office.user("ada")
        _, letter_id = await office.given_up(ada.id)
        full = "INSERT INTO queue_depths (agent_type, owner, queued) VALUES ('everything', $1, 5)"
        await office.database.execute(full, ada.id)
        assert error_of(await office.replay(letter_id))[:2] == (429, "RATE_LIMIT_EXCEEDED")
        assert [letter["id"] for letter in await office.all()] == [letter_id] and await _tasks(office) == 1

    in_office(replace(settings, max_queued_per_user=5), scenario)


# --- callbacks -----------------------------------------------------------------------------------------------------


def test_a_callback_is_due_again_while_somebody_waits_for_it(settings: Settings) -> None:
    async def scenario(office: Office) -> None:
        user_id, execution_id = (await office.user("ada")).id, uuid4()
        event = disabled(user_id, subject=str(execution_id))
        await office.letters.refuse("webhooks-deliver-callbacks", event, reason="callback", error="410", attempts=8)
        letter_id = await office.newest()
        message = f"nobody waits for the callback of '{execution_id}' any more"
        await _stays(office, letter_id, await office.replay(letter_id), message)
        await office.database.execute(
            "INSERT INTO callbacks (user_id, execution_id, url, peer, due_at, attempts) VALUES"
            " ($1, $2, '', '', NULL, 8), ($1, $3, '', '', NULL, 8)",
            user_id,
            execution_id,
            uuid4(),
        )
        done = data_of(await office.replay(letter_id), 202)
        assert done == {"id": letter_id, "replayed": "callback", "task_id": None}
        rows = await office.database.fetch("SELECT execution_id FROM callbacks WHERE due_at <= now() AND attempts = 0")
        assert [row["execution_id"] for row in rows] == [execution_id]
        assert await office.all() == [] and await _copies(office) == []

    in_office(settings, scenario)
