"""Tasks that ask their client, against PostgreSQL: parked without a worker, and on with the answers."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as trying
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from shared.config import Settings
from shared.dialogue import AnswersWanted, CannotAsk, Detached, Dialogue, Questions
from shared.errors import Conflict, NotFound
from shared.perform import RunContext, asking
from shared.ports.tasks import Claimed, Outcome
from shared.strict_json import Json
from tests.contract.test_queue import ADA, BOB, DONE, House, _Machine, _Model, house, new, play

T = TypeVar("T")

NAME: dict[str, Json] = {"method": "elicitation/create", "params": {"message": "Who?"}}
AGE: dict[str, Json] = {"method": "elicitation/create", "params": {"message": "How old?"}}
SAID: dict[str, Json] = {"action": "accept", "content": {"name": "Ada"}}
OTHER: dict[str, Json] = {"action": "accept", "content": {"name": "Bob"}}
WHO = Questions({"name": NAME}, {"step": 1})
BOTH = Questions({"name": NAME, "age": AGE})
CAN_ANSWER = Dialogue(frozenset({"elicitation"}))


async def _parked(here: House, questions: Questions = WHO, **more: Any) -> Claimed:
    """A task whose action has asked."""
    task = await here.begun(dialogue=CAN_ANSWER, **more)
    assert await here.queue.finish(task, asking(questions))
    return task


def _both(settings: Settings, scenario: Callable[[House, House], Awaitable[T]]) -> T:
    """Two processes over one record."""

    async def bounded() -> T:
        async with asyncio.timeout(60), house(settings) as here, house(settings) as there:
            return await scenario(here, there)

    return asyncio.run(bounded())


def test_a_task_that_asks_waits_without_a_worker_and_its_attempt_does_not_count(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        task = await _parked(here)
        row = await here.row(task.id)
        kept = {name: row[name] for name in ("status", "rank", "due_at", "worker_id", "attempt", "losses", "asked")}
        assert kept == {
            "status": "queued",
            "rank": None,
            "due_at": None,
            "worker_id": None,
            "attempt": 0,
            "losses": 0,
            "asked": True,
        }
        assert await here.claim(await here.join()) == []
        assert await here.upkeep.make_due() == []
        assert await here.tasks.questions(ADA, task.id) == {"name": NAME}
        asked = await here.task(task.id)
        assert (asked.status, asked.error, asked.attempts) == ("queued", None, 0)
        assert await here.events(task.id) == [("task.submitted.v1", 1), ("task.started.v1", 2), ("task.requeued.v1", 3)]

    play(settings, scenario)


def test_with_its_answers_a_task_goes_on_where_it_was_and_ends(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        task = await _parked(here)
        assert await here.tasks.answer(ADA, task.id, {"name": SAID}) == {"name"}
        assert await here.tasks.questions(ADA, task.id) == {}
        [again] = await here.claim(await here.join())
        assert again == replace(
            task, fence=2, dialogue=Dialogue(frozenset({"elicitation"}), {"name": SAID}, {"step": 1})
        )
        assert await here.queue.finish(again, DONE)
        ended = await here.task(task.id)
        assert (ended.status, ended.result, ended.attempts) == ("succeeded", {"said": "done"}, 1)
        acts = await here.database.fetch("SELECT actor, action FROM audit_log WHERE object LIKE $1", f"%{task.id}%")
        assert [(row["actor"], row["action"]) for row in acts] == [
            (f"user:{ADA}", "task.answer"),
            (f"user:{ADA}", "task.succeeded"),
        ]

    play(settings, scenario)


def test_a_task_that_asks_again_keeps_what_it_was_answered_before(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        task = await _parked(here)
        worker = await here.join()
        await here.tasks.answer(ADA, task.id, {"name": SAID})
        [again] = await here.claim(worker)
        await here.queue.finish(again, asking(Questions({"age": AGE}, {"step": 2})))
        # What has been answered is asked no more, and takes no other answer.
        assert await here.tasks.questions(ADA, task.id) == {"age": AGE}
        assert await here.tasks.answer(ADA, task.id, {"name": OTHER}) == frozenset()
        await here.tasks.answer(ADA, task.id, {"age": OTHER})
        [third] = await here.claim(worker)
        assert third.dialogue == Dialogue(frozenset({"elicitation"}), {"name": SAID, "age": OTHER}, {"step": 2})
        assert (third.attempt, third.fence) == (1, 3)

    play(settings, scenario)


def test_a_task_waits_until_the_last_of_its_questions_is_answered(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        task = await _parked(here, BOTH)
        worker = await here.join()
        assert list(await here.tasks.questions(ADA, task.id)) == ["name", "age"]
        assert await here.tasks.answer(ADA, task.id, {"age": SAID, "unheard-of": SAID}) == {"age"}
        assert await here.tasks.questions(ADA, task.id) == {"name": NAME}
        assert await here.claim(worker) == []
        assert await here.tasks.answer(ADA, task.id, {"name": SAID}) == {"name"}
        assert [one.id for one in await here.claim(worker)] == [task.id]

    play(settings, scenario)


def test_of_two_answers_at_once_from_two_replicas_exactly_one_counts(settings: Settings) -> None:
    async def scenario(here: House, there: House) -> None:
        for _ in range(10):
            task = await _parked(here)
            first, second = await asyncio.gather(
                here.tasks.answer(ADA, task.id, {"name": SAID}), there.tasks.answer(ADA, task.id, {"name": OTHER})
            )
            assert sorted((first, second), key=len) == [frozenset(), frozenset({"name"})]
            [again] = await there.claim(await there.join())
            assert again.dialogue.answers == {"name": SAID if first else OTHER}

    _both(settings, scenario)


def test_the_last_two_answers_at_once_leave_no_task_behind(settings: Settings) -> None:
    async def scenario(here: House, there: House) -> None:
        for _ in range(10):
            task = await _parked(here, BOTH)
            await asyncio.gather(
                here.tasks.answer(ADA, task.id, {"name": SAID}), there.tasks.answer(ADA, task.id, {"age": OTHER})
            )
            [again] = await here.claim(await here.join())
            assert (again.id, again.dialogue.answers) == (task.id, {"name": SAID, "age": OTHER})

    _both(settings, scenario)


def test_a_task_that_nobody_answers_expires_and_takes_no_answer_then(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        task = await _parked(here, ttl_s=60)
        await here.shift(task.id, expires_at=61)
        assert await here.upkeep.expire() == 1
        assert await here.tasks.answer(ADA, task.id, {"name": SAID}) == frozenset()
        assert await here.tasks.questions(ADA, task.id) == {}
        assert (await here.task(task.id)).status == "expired"

    play(settings, scenario)


def test_a_task_that_is_answered_after_its_time_does_not_start(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        task = await _parked(here, ttl_s=60)
        await here.shift(task.id, expires_at=61)
        assert await here.tasks.answer(ADA, task.id, {"name": SAID}) == {"name"}
        assert await here.claim(await here.join()) == []
        assert await here.upkeep.expire() == 1

    play(settings, scenario)


def test_a_task_that_is_cancelled_while_it_waits_stays_so(settings: Settings) -> None:
    async def scenario(here: House, there: House) -> None:
        task = await _parked(here)
        assert (await there.tasks.cancel(ADA, task.id)).status == "cancelled"
        assert await here.tasks.answer(ADA, task.id, {"name": SAID}) == frozenset()
        assert await here.tasks.questions(ADA, task.id) == {}
        assert await here.claim(await here.join()) == []
        with pytest.raises(Conflict):
            await here.tasks.cancel(ADA, task.id)

    _both(settings, scenario)


def test_a_worker_that_dies_takes_no_waiting_task_with_it(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        task = await here.begun(dialogue=CAN_ANSWER)
        worker = (await here.row(task.id))["worker_id"]
        await here.queue.finish(task, asking(WHO))
        await here.bury(worker)
        await here.upkeep.reap()
        assert (await here.row(task.id))["losses"] == 0
        assert await here.tasks.questions(ADA, task.id) == {"name": NAME}

    play(settings, scenario)


def test_what_a_dead_worker_was_answered_the_next_one_knows(settings: Settings) -> None:
    async def scenario(here: House, there: House) -> None:
        task = await _parked(here)
        worker = await here.join()
        await there.tasks.answer(ADA, task.id, {"name": SAID})
        [held] = await here.claim(worker)
        await here.bury(worker)
        assert await there.upkeep.reap() == ["everything"]
        [again] = await there.claim(await there.join())
        assert (again.dialogue, again.losses, again.attempt) == (held.dialogue, 1, 1)
        # The dead one asks once more, too late.
        assert not await here.queue.finish(held, asking(Questions({"age": AGE})))
        assert await there.tasks.questions(ADA, task.id) == {}

    _both(settings, scenario)


def test_a_worker_that_has_lost_its_task_cannot_make_it_wait(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        task = await here.begun(dialogue=CAN_ANSWER)
        await here.tasks.cancel(ADA, task.id)
        assert not await here.queue.finish(task, asking(WHO))
        assert await here.database.fetch("SELECT FROM task_questions") == []

    play(settings, scenario)


def test_nobody_answers_for_somebody_else_or_what_is_not_there(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        task = await _parked(here)
        assert await here.tasks.questions(BOB, task.id) == {}
        for user, task_id in ((BOB, task.id), (ADA, uuid4())):
            with pytest.raises(NotFound):
                await here.tasks.answer(user, task_id, {"name": SAID})
        assert await here.tasks.questions(ADA, task.id) == {"name": NAME}

    play(settings, scenario)


def test_an_answer_to_a_task_that_asks_nothing_leaves_its_place_in_the_queue(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        task_id = await here.accept(dialogue=CAN_ANSWER)
        rank = (await here.row(task_id))["rank"]
        assert await here.tasks.answer(ADA, task_id, {"name": SAID}) == frozenset()
        assert (await here.row(task_id))["rank"] == rank

    play(settings, scenario)


def test_a_call_that_goes_on_as_a_task_takes_its_answers_along(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        said = Dialogue(frozenset({"elicitation", "roots"}), {"name": SAID}, ["kept"])
        assert (await here.begun(dialogue=said)).dialogue == said

    play(settings, scenario)


def _run(dialogue: Dialogue) -> RunContext:
    return RunContext(ADA, UUID(int=1), 1, dialogue=dialogue)


def test_an_action_gets_its_answers_once_there_are_all() -> None:
    with pytest.raises(AnswersWanted) as wanted:
        _run(replace(CAN_ANSWER, answers={"name": SAID})).ask({"name": NAME, "age": AGE}, keep=[1])
    assert wanted.value.questions == Questions({"age": AGE}, [1])
    answers: dict[str, Json] = {"name": SAID, "age": OTHER, "more": None}
    assert _run(replace(CAN_ANSWER, answers=answers)).ask({"name": NAME, "age": AGE}) == {"name": SAID, "age": OTHER}


def test_an_action_asks_nobody_who_cannot_answer() -> None:
    with pytest.raises(CannotAsk) as refused:
        _run(CAN_ANSWER).ask({"text": {"method": "sampling/createMessage", "params": {}}})
    assert refused.value.details == {"capability": "sampling"}
    with pytest.raises(ValueError, match="'ping'"):
        _run(CAN_ANSWER).ask({"text": {"method": "ping"}})


def test_only_a_call_that_may_become_a_task_is_detached() -> None:
    _run(CAN_ANSWER).detach()
    with pytest.raises(Detached):
        _run(replace(CAN_ANSWER, detachable=True)).detach()


def test_whoever_cannot_be_asked_sees_a_failure() -> None:
    outcome: Outcome = asking(WHO)
    assert outcome.error is not None
    assert (outcome.status, outcome.error.code, outcome.error.retryable) == ("failed", "INPUT_REQUIRED", False)


# --- any order of events -----------------------------------------------------------------------------------------


@dataclass
class _Asking(_Model):
    """`open`: what it waits for; `said`: what counts of what it was answered."""

    open: set[str] = field(default_factory=set)
    said: dict[str, Json] = field(default_factory=dict)

    @property
    def claimable(self) -> bool:
        return super().claimable and not self.open


class _Conversing(_Machine):
    """The same promises, where actions ask on their way."""

    @rule(user=st.sampled_from([ADA, BOB]), priority=st.integers(0, 9), attempts=st.integers(1, 3), n=st.integers(1, 3))
    def submit(self, user: UUID, priority: int, attempts: int, n: int) -> None:
        more: dict[str, Any] = {"priority": priority, "max_attempts": attempts, "dialogue": CAN_ANSWER}
        asked = [new(agent=self.agent, user=user, **more) for _ in range(n)]
        for task_id in self._run(self.house.tasks.accept(asked)):
            self.models[task_id] = _Asking(user, attempts)

    def _asking(self) -> dict[UUID, _Asking]:
        return {task_id: model for task_id, model in self.models.items() if isinstance(model, _Asking)}

    @rule(draw=st.data(), keys=st.sets(st.sampled_from("abcd"), min_size=1))
    def ask(self, draw: st.DataObject, keys: set[str]) -> None:
        """By whoever ever had it, for what he has no answer to."""
        asking = self._asking()
        tries = [task for task in self.claims if task.id in asking and keys - task.dialogue.answers.keys()]
        if not tries:
            return
        task = draw.draw(st.sampled_from(tries))
        model, holds = asking[task.id], self._holds(task)
        wanted: dict[str, Json] = dict.fromkeys(sorted(keys - task.dialogue.answers.keys()), NAME)
        assert self._run(self.house.queue.finish(task, asking_for(wanted))) is holds
        if holds:
            model.moves("queued")
            model.attempt -= 1
            model.open = set(wanted)

    @rule(draw=st.data(), keys=st.sets(st.sampled_from("abcd"), min_size=1), number=st.integers(0, 9))
    def answer(self, draw: st.DataObject, keys: set[str], number: int) -> None:
        asking = self._asking()
        if not asking:
            return
        task_id = draw.draw(st.sampled_from(list(asking)))
        model = asking[task_id]
        said: dict[str, Json] = {key: {"n": number} for key in keys}
        taken = self._run(self.house.tasks.answer(model.user, task_id, said))
        assert taken == (keys & model.open if model.status == "queued" else frozenset())
        model.said |= {key: said[key] for key in taken}
        model.open -= taken

    @invariant()
    def the_questions_are_as_modelled(self) -> None:
        for task_id, model in self._asking().items():
            waits = model.open if model.status == "queued" else set()
            assert self._run(self.house.tasks.questions(model.user, task_id)).keys() == waits

    @invariant()
    def whoever_holds_a_task_knows_what_was_answered(self) -> None:
        for task in self.claims:
            model = self.models[task.id]
            if isinstance(model, _Asking) and self._holds(task):
                assert task.dialogue.answers == model.said


def asking_for(requests: dict[str, Json]) -> Outcome:
    return asking(Questions(requests))


def test_no_order_of_questions_and_answers_breaks_a_promise(settings: Settings) -> None:
    with asyncio.Runner() as runner:
        stack = house(settings)
        _Conversing.runner, _Conversing.house = runner, runner.run(stack.__aenter__())
        try:
            run_state_machine_as_test(
                _Conversing,
                settings=trying(
                    max_examples=25,
                    stateful_step_count=30,
                    deadline=None,
                    database=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(stack.__aexit__(None, None, None))
