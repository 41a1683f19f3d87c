"""Tasks that became dead letters: which do, what the letter says, and that it is written with the task's end."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from events.base import Envelope
from shared.config import Settings
from shared.errors import Invalid, ToolError, Unavailable
from shared.perform import failed
from shared.ports.dead_letters import DeadLetter, DeadLetters
from shared.ports.tasks import Claimed, Outcome, TaskError
from shared.stores.postgres.events import ENVELOPE, envelope_of
from tests.contract.test_queue import ADA, DONE, LATER, House, new, play

GIVEN_UP = replace(LATER, retry_in_s=None)
MARK = "only-ada-may-read-this"


async def _letters(here: House) -> tuple[DeadLetter, ...]:
    letters = await here.ports.open(DeadLetters)
    return (await letters.list(reason=None, agent=None, limit=200, cursor=None)).dead_letters


async def _event(here: House, task_id: UUID, type: str) -> dict[str, Any]:
    row = await here.database.fetchrow(
        f"SELECT {ENVELOPE} FROM events WHERE subject = $1 AND type = $2", str(task_id), type
    )
    return envelope_of(row).model_dump(mode="json", by_alias=True, exclude_none=True)


async def _tellings(here: House) -> list[dict[str, Any]]:
    rows = await here.database.fetch(
        f"SELECT {ENVELOPE} FROM events WHERE type = 'dead_letter.recorded.v1' ORDER BY position"
    )
    return [envelope_of(row).model_dump() for row in rows]


def test_a_task_out_of_attempts_is_a_dead_letter_that_says_why(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        held = await here.begun(max_attempts=2, parameters={"secret": MARK})
        await here.queue.finish(held, LATER)
        assert await _letters(here) == ()
        await here.shift(held.id, due_at=61)
        await here.upkeep.make_due()
        [held] = await here.claim(await here.join())
        await here.queue.finish(held, GIVEN_UP)
        [letter] = await _letters(here)
        envelope = Envelope.model_validate(letter.event)
        assert envelope.model_dump(mode="json", by_alias=True, exclude_none=True) == await _event(
            here, held.id, "task.failed.v1"
        )
        data = {"task_id": str(held.id), "agent": "everything", "tool": "ledger", "reason": "SERVICE_UNAVAILABLE"}
        assert (envelope.data, envelope.subject, envelope.user_id) == (data, str(held.id), ADA)
        assert letter.model_dump(exclude={"id", "event", "at"}) == {
            "reason": "task",
            "consumer": "everything-ledger",
            "agent": "everything",
            "error": "SERVICE_UNAVAILABLE: later",
            "attempts": 2,
        }
        assert MARK not in letter.model_dump_json()
        [told] = await _tellings(here)
        assert (told["subject"], told["user_id"], told["agent"]) == (str(letter.id), None, "everything")
        assert told["data"] == {
            "letter_id": str(letter.id),
            "reason": "task",
            "consumer": "everything-ledger",
            "agent": "everything",
        }

    play(settings, scenario)


def test_a_task_under_which_five_workers_died_is_a_dead_letter(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        task_id = await here.accept()
        for _ in range(5):
            assert await _letters(here) == ()
            worker = await here.join()
            await here.claim(worker)
            await here.bury(worker)
            await here.upkeep.reap()
        [letter] = await _letters(here)
        assert (letter.reason, letter.attempts) == ("task", 5)
        assert letter.error == "WORKER_LOST: its workers died 5 times"
        assert letter.event["data"] == {
            "task_id": str(task_id),
            "agent": "everything",
            "tool": "ledger",
            "reason": "WORKER_LOST",
        }

    play(settings, scenario)


@pytest.mark.parametrize(
    "outcome",
    [
        DONE,
        failed(ToolError("no such thing")),
        failed(Invalid("not this")),
        Outcome("failed", error=TaskError(code="TIMEOUT", message="too long")),
    ],
    ids=["succeeded", "tool error", "invalid", "timeout"],
)
def test_an_end_that_no_further_attempt_would_change_is_no_dead_letter(settings: Settings, outcome: Outcome) -> None:
    async def scenario(here: House) -> None:
        held = await here.begun(max_attempts=1)
        assert await here.queue.finish(held, outcome)
        assert (await here.task(held.id)).finished_at is not None
        assert await _letters(here) == () and await _tellings(here) == []

    play(settings, scenario)


def test_a_task_that_fails_with_attempts_left_is_no_dead_letter(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        held = await here.begun(max_attempts=3)
        assert await here.queue.finish(held, GIVEN_UP)
        assert await _letters(here) == ()

    play(settings, scenario)


def test_what_is_cancelled_or_expires_is_no_dead_letter(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        held = await here.begun(max_attempts=1)
        await here.tasks.cancel(ADA, held.id)
        late = await here.accept()
        await here.shift(late, expires_at=7200)
        assert await here.upkeep.expire() == 1
        assert await _letters(here) == ()

    play(settings, scenario)


@pytest.mark.parametrize("end", ["finish", "loss"])
def test_a_call_whose_caller_waits_is_no_dead_letter(settings: Settings, end: str) -> None:
    async def scenario(here: House) -> None:
        worker = await here.join()
        held = await here.queue.attach(worker, new(max_attempts=1))
        if end == "finish":
            assert await here.queue.finish(held, GIVEN_UP)
        else:
            await here.bury(worker)
            await here.upkeep.reap()
        assert (await here.task(held.id)).status == "failed"
        assert await _letters(here) == ()

    play(settings, scenario)


def test_a_zombie_writes_no_dead_letter(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        old = await here.begun(max_attempts=1)
        await here.bury((await here.row(old.id))["worker_id"])
        await here.upkeep.reap()
        assert not await here.queue.finish(old, GIVEN_UP)
        assert await _letters(here) == ()

    play(settings, scenario)


def test_each_task_of_a_batch_has_its_own_letter(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        await here.tasks.accept([new(max_attempts=1) for _ in range(20)])
        held = await here.claim(await here.join(), 20)

        async def end(number: int, task: Claimed) -> None:
            outcome = failed(Unavailable(f"number {number}")) if number % 2 else DONE
            assert await here.queue.finish(task, outcome)

        await asyncio.gather(*(end(number, task) for number, task in enumerate(held)))
        letters = {letter.event["subject"]: letter.error for letter in await _letters(here)}
        assert letters == {
            str(task.id): f"SERVICE_UNAVAILABLE: number {number}" for number, task in enumerate(held) if number % 2
        }
        assert len(await _tellings(here)) == 10

    play(settings, scenario)
