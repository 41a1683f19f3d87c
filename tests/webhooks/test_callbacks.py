"""Callbacks of tasks: whoever asks for one is told once of every end, whatever the receiver does."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from pydantic import ValidationError

from functions.auth.get_jwks import get_jwks
from functions.registry.execute_task import execute_task
from functions.tasks.get_task import GetTask, get_task
from functions.webhooks import _callback
from functions.webhooks.deliver_callbacks import deliver_callbacks
from shared.config import Settings
from shared.crypto import Codec, rotate_signing_key
from shared.errors import IdempotencyMismatch, Unavailable
from shared.execution import AskedTask, Execute
from shared.function import MIB, Call, Caller
from shared.identity import scopes_of
from shared.ports.callbacks import Callback, Callbacks
from shared.ports.dead_letters import DeadLetters
from shared.ports.egress import Egress
from shared.ports.limits import Limits
from shared.ports.signatures import Signatures
from shared.ports.tasks import Claimed, NewTask, Outcome, Queue, TaskError, Tasks
from shared.ports.tokens import Tokens
from shared.ports.upkeep import Upkeep
from shared.ports.users import Registration, Users
from shared.stores.postgres.callbacks import _LEASE, PostgresCallbacks, peer_of
from shared.stores.postgres.database import Database
from shared.wiring import Ports
from tests.receiver import CUT, HANG, Receiver, answer, receiving

T = TypeVar("T")
ADA = UUID(int=0xADA)
DONE = Outcome("succeeded", {"said": "done"})
FAILED = Outcome("failed", error=TaskError(code="TOOL_ERROR", message="no such file"))
LATER = Outcome("failed", error=TaskError(code="SERVICE_UNAVAILABLE", message="later", retryable=True), retry_in_s=60)


@dataclass(frozen=True)
class House:
    """One process that accepts tasks, runs them by hand, and delivers."""

    ports: Ports
    tasks: Tasks
    limits: Limits
    queue: Queue
    upkeep: Upkeep
    database: Database
    callbacks: Callbacks
    dead_letters: DeadLetters

    async def ask(self, url: str | None, *, user: UUID = ADA, **more: Any) -> UUID:
        new = NewTask(user_id=user, agent="everything", tool="echo", parameters={"message": "x"}, callback_url=url)
        [task_id] = await self.tasks.accept([replace(new, **more)])
        return task_id

    async def claim(self, count: int = 1) -> list[Claimed]:
        worker = await self.queue.join(["everything"], slot=None)
        return await self.queue.claim(worker, "everything", ["echo"], count)

    async def end(self, count: int = 1, outcome: Outcome = DONE) -> None:
        claimed = await self.claim(count)
        assert len(claimed) == count
        assert all(await asyncio.gather(*(self.queue.finish(task, outcome) for task in claimed)))

    async def ended(self, url: str, **more: Any) -> UUID:
        task_id = await self.ask(url, **more)
        await self.end()
        return task_id

    async def deliver(self, callbacks: Callbacks | None = None) -> None:
        await deliver_callbacks(
            callbacks=callbacks or self.callbacks,
            tasks=self.tasks,
            egress=await self.ports.open(Egress),
            signatures=await self.ports.open(Signatures),
            dead_letters=self.dead_letters,
        )

    async def make_due(self) -> None:
        """Every back-off and every lease has passed."""
        await self.database.execute("UPDATE callbacks SET due_at = now() WHERE due_at IS NOT NULL")

    async def rows(self) -> list[tuple[UUID, int, bool]]:
        """What is not delivered yet: its task, its failed attempts, whether there will be another."""
        rows = await self.database.fetch("SELECT * FROM callbacks ORDER BY created_at, execution_id")
        return [(row["execution_id"], row["attempts"], row["due_at"] is not None) for row in rows]

    async def due_in_s(self) -> float:
        seconds = await self.database.fetchval("SELECT extract(epoch FROM due_at - now()) FROM callbacks")
        return float(seconds)

    async def letters(self) -> list[tuple[str, str, str, int]]:
        found = await self.dead_letters.list(reason="callback", agent=None, limit=50, cursor=None)
        return [(str(one.event["subject"]), one.consumer, one.error, one.attempts) for one in found.dead_letters]

    async def acts(self) -> list[tuple[str, str, str]]:
        rows = await self.database.fetch("SELECT * FROM audit_log WHERE action = 'task.called_back' ORDER BY id")
        return [(row["actor"], row["object"], row["outcome"]) for row in rows]

    async def keys(self) -> list[dict[str, str]]:
        return (await get_jwks(tokens=await self.ports.open(Tokens))).keys


@asynccontextmanager
async def house(settings: Settings, *receivers: Receiver) -> AsyncIterator[House]:
    allowed = frozenset(("127.0.0.1", receiver.port) for receiver in receivers)
    async with Ports(replace(settings, egress_allow=allowed)) as ports:
        yield House(
            ports,
            await ports.open(Tasks),
            await ports.open(Limits),
            await ports.open(Queue),
            await ports.open(Upkeep),
            await ports.open(Database),
            await ports.open(Callbacks),
            await ports.open(DeadLetters),
        )


def play(
    settings: Settings, scenario: Callable[[House, Receiver], Awaitable[T]], *answers: bytes, silent: bool = False
) -> T:
    async def bounded() -> T:
        async with (
            asyncio.timeout(60),
            receiving(*answers, silent=silent) as receiver,
            house(settings, receiver) as here,
        ):
            return await scenario(here, receiver)

    return asyncio.run(bounded())


@asynccontextmanager
async def silent_receivers(count: int) -> AsyncIterator[list[Receiver]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(receiving(silent=True)) for _ in range(count)]


# --- what is sent --------------------------------------------------------------------------------------------------


def test_the_ended_task_is_sent_whole_and_signed(settings: Settings) -> None:
    async def scenario(here: House, receiver: Receiver) -> None:
        task_id = await here.ended(receiver.url("/hooks/a%20b?token=s"))
        await here.deliver()
        [received] = receiver.received
        received.verify(await here.keys())
        assert received.path == "/hooks/a%20b?token=s"
        assert received.headers["content-type"] == "application/cloudevents+json"
        assert received.id == f"msg_{task_id}"
        assert abs(int(received.headers["webhook-timestamp"]) - datetime.now(UTC).timestamp()) < 5
        caller = _caller()
        task = await get_task(GetTask(task_id=task_id), caller=caller, tasks=here.tasks)
        shown = task.model_dump(mode="json")
        assert (shown["result"], shown["parameters"]) == ({"said": "done"}, {"message": "x"})
        assert received.event == {
            "specversion": "1.0",
            "id": f"msg_{task_id}",
            "source": "/functions/deliver_callbacks",
            "type": "task.succeeded.v1",
            "subject": str(task_id),
            "time": shown["finished_at"],
            "datacontenttype": "application/json",
            "agent": "everything",
            "sequence": 3,
            "userid": str(ADA),
            "data": shown,
        }
        assert await here.rows() == []
        assert await here.acts() == [(f"user:{ADA}", f"everything/echo/{task_id}", "done")]
        await here.deliver()
        assert len(receiver.received) == 1

    play(settings, scenario)


async def _succeed(here: House, _: UUID) -> None:
    await here.end()


async def _fail(here: House, _: UUID) -> None:
    await here.end(outcome=FAILED)


async def _cancel(here: House, task_id: UUID) -> None:
    await here.tasks.cancel(ADA, task_id)


async def _cancel_running(here: House, task_id: UUID) -> None:
    await here.claim()
    await here.tasks.cancel(ADA, task_id)


async def _cancel_all(here: House, _: UUID) -> None:
    await here.tasks.cancel_all(ADA)


async def _expire(here: House, task_id: UUID) -> None:
    earlier = "created_at = created_at - interval '2 h', expires_at = now() - interval '1 s'"
    await here.database.execute(f"UPDATE agent_executions SET {earlier} WHERE id = $1", task_id)
    assert await here.upkeep.expire() == 1


async def _lose_its_worker(here: House) -> None:
    assert len(await here.claim()) == 1
    await here.database.execute("UPDATE workers SET alive_until = now() - interval '1 s'")
    await here.upkeep.reap()


async def _lose_workers(here: House, _: UUID) -> None:
    for _n in range(5):
        await _lose_its_worker(here)


@pytest.mark.parametrize(
    "end, status",
    [
        (_succeed, "succeeded"),
        (_fail, "failed"),
        (_cancel, "cancelled"),
        (_cancel_running, "cancelled"),
        (_cancel_all, "cancelled"),
        (_expire, "expired"),
        (_lose_workers, "failed"),
    ],
)
def test_every_end_is_told_and_nothing_before_it(
    settings: Settings, end: Callable[[House, UUID], Awaitable[None]], status: str
) -> None:
    async def scenario(here: House, receiver: Receiver) -> None:
        task_id = await here.ask(receiver.url())
        await here.deliver()
        assert (receiver.received, await here.rows()) == ([], [(task_id, 0, False)])
        await end(here, task_id)
        await here.deliver()
        [received] = receiver.received
        received.verify(await here.keys())
        assert (received.event["type"], received.event["data"]["status"]) == (f"task.{status}.v1", status)
        task = await here.tasks.get(ADA, task_id)
        assert task is not None and received.event["data"] == task.model_dump(mode="json")
        assert received.event["sequence"] == task.events[-1].sequence

    play(settings, scenario)


def test_the_end_of_an_attempt_is_not_told(settings: Settings) -> None:
    async def scenario(here: House, receiver: Receiver) -> None:
        task_id = await here.ask(receiver.url())
        await _lose_its_worker(here)
        await here.end(outcome=LATER)
        await here.deliver()
        assert (receiver.received, await here.rows()) == ([], [(task_id, 0, False)])

    play(settings, scenario)


def test_parameters_and_then_the_result_are_left_out_of_what_would_be_too_large(settings: Settings) -> None:
    long = "x" * 600_000

    async def scenario(here: House, receiver: Receiver) -> None:
        await here.ask(receiver.url("/small"), parameters={"a": long})
        await here.end()
        await here.ask(receiver.url("/both"), parameters={"a": long})
        await here.end(outcome=Outcome("succeeded", long))
        await here.ask(receiver.url("/result"), parameters={"a": "b"})
        await here.end(outcome=Outcome("succeeded", long + long))
        await here.deliver()
        assert all(len(received.body) <= MIB for received in receiver.received)
        data = {received.path: received.event["data"] for received in receiver.received}
        assert data["/small"]["parameters"] == {"a": long} and "omitted" not in data["/small"]
        assert data["/both"]["omitted"] == ["parameters"] and "parameters" not in data["/both"]
        assert data["/both"]["result"] == long
        assert data["/result"]["omitted"] == ["parameters", "result"]
        assert not {"parameters", "result"} & data["/result"].keys()

    play(settings, scenario)


def test_the_newest_key_signs_and_the_one_before_it_still_verifies(settings: Settings) -> None:
    async def scenario(here: House, receiver: Receiver) -> None:
        await here.ended(receiver.url())
        await here.deliver()
        rotate_signing_key(settings.keys_dir)
        async with house(settings, receiver) as there:
            await there.ended(receiver.url())
            await there.deliver()
            keys = await there.keys()
        old, new = receiver.received
        assert [new.headers["webhook-key-id"], old.headers["webhook-key-id"]] == [key["kid"] for key in keys]
        old.verify(keys)
        new.verify(keys)

    play(settings, scenario)


# --- receivers that do not take it ---------------------------------------------------------------------------------


def test_a_receiver_that_fails_is_asked_again_later_and_later(settings: Settings) -> None:
    async def scenario(here: House, receiver: Receiver) -> None:
        task_id = await here.ended(receiver.url())
        for attempts, about_s in enumerate((5, 30, 120, 600, 1800, 7200), start=1):
            await here.deliver()
            assert await here.rows() == [(task_id, attempts, True)]
            assert about_s * 0.8 - 5 <= await here.due_in_s() <= about_s * 1.2
            # Nobody is asked before it is due.
            await here.deliver()
            assert len(receiver.received) == attempts
            await here.make_due()
        await here.deliver()
        assert (await here.rows(), await here.letters()) == ([], [])
        assert {received.id for received in receiver.received} == {f"msg_{task_id}"}
        assert len({received.body for received in receiver.received}) == 1
        for received in receiver.received:
            received.verify(await here.keys())

    play(settings, scenario, *(answer(status) for status in (500, 503, 429, 404, 400, 302)))


def test_a_receiver_that_never_takes_it_leaves_a_dead_letter_that_can_be_replayed(settings: Settings) -> None:
    async def scenario(here: House, receiver: Receiver) -> None:
        task_id = await here.ended(receiver.url("/secret-path"))
        for _ in range(7):
            await here.deliver()
            await here.make_due()
        await here.deliver()
        assert len(receiver.received) == 7
        assert await here.rows() == [(task_id, 7, False)]
        told = "the receiver answered 500"
        assert await here.letters() == [(str(task_id), "webhooks-deliver-callbacks", told, 7)]
        assert await here.acts() == [(f"user:{ADA}", f"everything/echo/{task_id}", "refused")]
        found = await here.dead_letters.list(reason="callback", agent="everything", limit=5, cursor=None)
        [letter] = found.dead_letters
        assert (letter.event["type"], letter.event["userid"]) == ("task.succeeded.v1", str(ADA))
        # What is sealed elsewhere is not in plain here.
        assert letter.event["data"] == {"task_id": str(task_id), "agent": "everything", "tool": "echo"}
        assert await here.dead_letters.replay_callback(letter.id, actor=ADA)
        await here.deliver()
        assert len({received.id for received in receiver.received}) == 1 and len(receiver.received) == 8
        assert (await here.rows(), await here.letters()) == ([], [])

    play(settings, scenario, *[answer(500)] * 7)


def test_a_receiver_that_is_gone_is_not_asked_again(settings: Settings) -> None:
    async def scenario(here: House, receiver: Receiver) -> None:
        task_id = await here.ended(receiver.url())
        await here.deliver()
        assert await here.rows() == [(task_id, 1, False)]
        assert [letter[2:] for letter in await here.letters()] == [("the receiver answered 410", 1)]

    play(settings, scenario, answer(410))


@pytest.mark.parametrize("said", [HANG, CUT], ids=["hangs", "closes amid its answer"])
def test_a_receiver_that_does_not_answer_to_the_end_is_asked_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(_callback, "ATTEMPT_S", 0.5)

    async def scenario(here: House, receiver: Receiver) -> None:
        task_id = await here.ended(receiver.url())
        await here.deliver()
        assert await here.rows() == [(task_id, 1, True)]
        await here.make_due()
        await here.deliver()
        assert [received.id for received in receiver.received] == [f"msg_{task_id}"] * 2
        assert await here.rows() == []

    play(settings, scenario, said)


def test_nobody_listens_yet(settings: Settings) -> None:
    async def scenario(here: House, receiver: Receiver) -> None:
        async with receiving() as gone:
            pass
        async with house(settings, gone) as there:
            task_id = await there.ended(gone.url())
            await there.deliver()
            assert await there.rows() == [(task_id, 1, True)]

    play(settings, scenario)


def test_a_redirect_is_not_followed(settings: Settings) -> None:
    async def scenario(here: House, receiver: Receiver) -> None:
        receiver.answers[0] = answer(307, f"Location: {receiver.url('/elsewhere')}")
        task_id = await here.ended(receiver.url("/here"))
        await here.deliver()
        assert [received.path for received in receiver.received] == ["/here"]
        assert await here.rows() == [(task_id, 1, True)]

    play(settings, scenario, HANG)


def test_an_address_that_may_not_be_reached_is_given_up_at_once(settings: Settings) -> None:
    async def scenario(here: House, receiver: Receiver) -> None:
        async with house(settings) as there:
            task_id = await there.ended(receiver.url("/path"))
            await there.deliver()
            assert await there.rows() == [(task_id, 1, False)]
            [(subject, _, error, attempts)] = await there.letters()
            assert (subject, attempts) == (str(task_id), 1)
            assert "refused" in error and "127.0.0.1" not in error and "/path" not in error
        assert receiver.received == []

    play(settings, scenario)


# --- crashes and races ---------------------------------------------------------------------------------------------


def test_two_who_deliver_at_the_same_time_deliver_once(settings: Settings) -> None:
    async def scenario(here: House, receiver: Receiver) -> None:
        ids = [await here.ask(receiver.url(f"/{n}")) for n in range(30)]
        await here.end(30)
        async with house(settings, receiver) as other, house(settings, receiver) as third:
            await asyncio.gather(*(one.deliver() for one in (here, other, third)))
        assert sorted(received.id for received in receiver.received) == sorted(f"msg_{task_id}" for task_id in ids)
        assert (await here.rows(), await here.letters()) == ([], [])

    play(settings, scenario)


def test_what_one_is_about_to_lease_is_passed_over_by_another(settings: Settings) -> None:
    async def scenario(here: House, receiver: Receiver) -> None:
        task_id = await here.ended(receiver.url())
        lease = partial(here.callbacks.lease, 16, per_peer=2, busy=[], lease_s=30)
        async with here.database.transaction() as connection:
            assert len(await connection.fetch(_LEASE, [], 16, 30.0, 2)) == 1
            assert await lease() == []
        assert await lease() == []
        await here.make_due()
        [callback] = await lease()
        assert (callback.execution_id, callback.url, callback.attempts) == (task_id, receiver.url(), 0)

    play(settings, scenario)


class _Forgetful(PostgresCallbacks):
    """Dies before it has written that a call was received."""

    async def done(self, callback: Callback) -> None:
        raise Unavailable("the database cannot be reached now")


def test_a_crash_after_the_call_repeats_it_under_the_same_id(settings: Settings) -> None:
    async def scenario(here: House, receiver: Receiver) -> None:
        task_id = await here.ended(receiver.url())
        await here.deliver(_Forgetful(database=here.database, codec=Codec()))
        # The lease keeps everyone else away.
        await here.deliver()
        assert await here.rows() == [(task_id, 0, True)] and 0 < await here.due_in_s() <= 30
        await here.make_due()
        await here.deliver()
        assert [received.id for received in receiver.received] == [f"msg_{task_id}"] * 2
        assert await here.rows() == []

    play(settings, scenario)


def test_who_is_stopped_amid_a_call_loses_nothing(settings: Settings) -> None:
    async def scenario(here: House, receiver: Receiver) -> None:
        task_id = await here.ended(receiver.url())
        delivering = asyncio.create_task(here.deliver())
        await receiver.got(1)
        delivering.cancel()
        await asyncio.gather(delivering, return_exceptions=True)
        receiver.may_answer.set()
        await here.make_due()
        await here.deliver()
        assert [received.id for received in receiver.received] == [f"msg_{task_id}"] * 2
        assert await here.rows() == []

    play(settings, scenario, silent=True)


def test_who_lost_the_lease_says_nothing_of_a_failure(settings: Settings) -> None:
    """It was away for longer than its lease, and another has delivered meanwhile."""

    async def scenario(here: House, receiver: Receiver) -> None:
        await here.ended(receiver.url())
        delivering = asyncio.create_task(here.deliver())
        await receiver.got(1)
        await here.make_due()
        async with house(settings, receiver) as other:
            second = asyncio.create_task(other.deliver())
            await receiver.got(2)
            receiver.may_answer.set()
            await asyncio.gather(delivering, second)
        assert (await here.rows(), await here.letters()) == ([], [])

    play(settings, scenario, answer(410), answer(200), silent=True)


def test_a_slow_receiver_holds_up_nobody_else(settings: Settings) -> None:
    async def scenario(here: House, slow: Receiver) -> None:
        async with receiving() as quick, house(settings, slow, quick) as there:
            await asyncio.gather(*(there.ask(slow.url(f"/{n}")) for n in range(40)))
            await there.end(40)
            await asyncio.gather(*(there.ask(quick.url(f"/{n}")) for n in range(10)))
            await there.end(10)
            delivering = asyncio.create_task(there.deliver())
            await asyncio.gather(quick.got(10), slow.got(2))
            # What becomes due meanwhile is not held up either.
            await there.ended(quick.url("/later"))
            await quick.got(11)
            assert len(slow.received) == 2
            slow.may_answer.set()
            await delivering
            assert len(slow.received) == 40
            assert slow.most_at_once == 2 and quick.most_at_once <= 2
            assert await there.rows() == []

    play(settings, scenario, silent=True)


def test_no_more_than_sixteen_calls_are_under_way(settings: Settings) -> None:
    async def scenario(here: House, first: Receiver) -> None:
        async with silent_receivers(10) as receivers, house(settings, *receivers) as there:
            await asyncio.gather(*(there.ask(one.url(f"/{n}")) for one in receivers for n in range(3)))
            await there.end(30)
            delivering = asyncio.create_task(there.deliver())
            while sum(one.at_once for one in receivers) < 16:
                await asyncio.sleep(0.01)
            assert await there.database.fetchval("SELECT count(*) FROM callbacks WHERE due_at > now()") == 16
            assert sum(one.at_once for one in receivers) == 16
            for one in receivers:
                one.may_answer.set()
            await delivering
            assert [len(one.received) for one in receivers] == [3] * 10

    play(settings, scenario)


def test_a_task_that_is_gone_is_told_to_nobody(settings: Settings) -> None:
    async def scenario(here: House, receiver: Receiver) -> None:
        await here.ended(receiver.url())
        await here.database.execute("DELETE FROM agent_executions")
        await here.deliver()
        assert (receiver.received, await here.rows(), await here.letters()) == ([], [], [])

    play(settings, scenario)


def test_what_is_left_of_old_tasks_is_trimmed(settings: Settings) -> None:
    async def scenario(here: House, receiver: Receiver) -> None:
        await here.ended(receiver.url(), user=uuid4())
        await here.database.execute("UPDATE callbacks SET created_at = now() - interval '31 days'")
        assert (await here.upkeep.trim())["callbacks"] == 0
        await here.database.execute("DELETE FROM agent_executions")
        assert (await here.upkeep.trim())["callbacks"] == 1

    play(settings, scenario)


def test_nothing_is_left_of_a_user_who_was_erased(settings: Settings) -> None:
    async def scenario(here: House, receiver: Receiver) -> None:
        users = await here.ports.open(Users)
        bob = await users.register(Registration(email="bob@example.org", username="bob", password_hash=""))
        await here.ended(receiver.url("/bob"), user=bob.id)
        waiting = await here.ask(receiver.url("/ada"))
        delivering = asyncio.create_task(here.deliver())
        await receiver.got(1)
        assert await users.erase(bob.id)
        receiver.may_answer.set()
        await delivering
        assert (await here.rows(), await here.letters()) == ([(waiting, 0, False)], [])
        await here.make_due()
        await here.deliver()
        assert [received.path for received in receiver.received] == ["/bob"]

    play(settings, scenario, answer(410), silent=True)


def test_what_cannot_be_opened_any_more_is_given_up_and_holds_up_nobody(settings: Settings) -> None:
    async def scenario(here: House, receiver: Receiver) -> None:
        lost, unreadable, fine = [await here.ended(receiver.url(f"/{n}")) for n in range(3)]
        await here.database.execute(r"UPDATE callbacks SET url = '\x7f00' WHERE execution_id = $1", lost)
        await here.database.execute("ALTER TABLE agent_executions DISABLE TRIGGER guard")
        await here.database.execute(r"UPDATE agent_executions SET output_data = '\x7f00' WHERE id = $1", unreadable)
        await here.deliver()
        assert [received.id for received in receiver.received] == [f"msg_{fine}"]
        assert sorted(await here.rows()) == sorted([(lost, 1, False), (unreadable, 1, False)])
        assert {letter[2] for letter in await here.letters()} == {"the URL cannot be read", "the task cannot be read"}

    play(settings, scenario)


# --- what is asked for ---------------------------------------------------------------------------------------------


def _caller() -> Caller:
    roles = frozenset({"user"})
    return Caller(user_id=ADA, session_id=uuid4(), roles=roles, scopes=scopes_of(roles))


def _asked(url: str | None) -> dict[str, object]:
    asked: dict[str, object] = {"agent_id": "everything", "task": "echo", "parameters": {"message": "x"}}
    return asked if url is None else {**asked, "callback_url": url}


def test_in_a_batch_each_task_has_its_own(settings: Settings) -> None:
    async def scenario(here: House, receiver: Receiver) -> None:
        urls = [receiver.url("/a"), None, receiver.url("/c")]
        request = Execute.model_validate({"tasks": [_asked(url) for url in urls]})
        call = Call(request_id="r", idempotency_key="k")
        answers = [
            await execute_task(request, caller=_caller(), call=call, tasks=here.tasks, limits=here.limits)
            for _ in range(2)
        ]
        ids = [task.task_id for task in answers[0].data.tasks]  # type: ignore[union-attr]
        assert answers[0] == answers[1]
        assert sorted(await here.rows()) == sorted([(ids[0], 0, False), (ids[2], 0, False)])
        await here.end(3)
        await here.deliver()
        got = {(received.path, received.event["subject"]) for received in receiver.received}
        assert got == {("/a", str(ids[0])), ("/c", str(ids[2]))} and len(receiver.received) == 2

    play(settings, scenario)


def test_the_same_key_with_another_callback_is_another_request(settings: Settings) -> None:
    async def scenario(here: House, receiver: Receiver) -> None:
        call = Call(request_id="r", idempotency_key="k")
        ask = partial(execute_task, caller=_caller(), call=call, tasks=here.tasks, limits=here.limits)
        first = await ask(Execute.model_validate(_asked(receiver.url("/a"))))
        assert await ask(Execute.model_validate(_asked(receiver.url("/a")))) == first
        for url in (receiver.url("/b"), None):
            with pytest.raises(IdempotencyMismatch):
                await ask(Execute.model_validate(_asked(url)))
        assert len(await here.rows()) == 1

    play(settings, scenario)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/path",
        "example.org/x",
        "ftp://example.org/",
        "HTTP://example.org/",
        "javascript:alert(1)",
        "http://",
        "http:///x",
        "http://user@example.org/",
        "http://user:word@example.org/",
        "http://@example.org/",
        "http://example.org/#part",
        "http://example.org#part",
        "http://example.org:0/",
        "http://example.org:65536/",
        "http://example.org:x/",
        "http://example.org:/",
        "http://example.org/a b",
        "http://example.org/\n",
        "http://example.org/\r\nX-Evil: 1",
        "http://example.org/\t",
        "http://example.org/\0",
        "http://example.org/\x7f",
        "http://example.org/ü",
        "http://exämple.org/",
        "http://example.org\\@127.0.0.1/",
        "http://example.org/\\",
        "http://[::1/",
        "http://::1/",
        "http://[fe80::1%25eth0]/",
        "http://example.org/" + "a" * 2048,
        " http://example.org/",
        ["http://example.org/"],
        7,
    ],
)
def test_what_is_no_plain_url_is_invalid(url: object) -> None:
    with pytest.raises(ValidationError):
        AskedTask.model_validate({"agent_id": "everything", "task": "echo", "callback_url": url})


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org",
        "https://example.org/a/b?c=d&e=%20;@:!$'()*+,",
        "http://127.0.0.1:8000/x",
        "https://[2001:db8::1]:8443/?q",
        "https://a_b.example.org?q",
        "http://example.org/" + "a" * 2029,
    ],
)
def test_a_plain_url_is_taken_as_it_is(url: str) -> None:
    asked = AskedTask.model_validate({"agent_id": "everything", "task": "echo", "callback_url": url})
    assert asked.callback_url == url


# Pieces that parsers are known to read differently.
_PIECES = ["http", "://", ":", "/", "@", "#", "?", "\\", "[", "]", "[::1]", ".", "a.b", "80", "0", "99999", "%"]


@limits(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(_PIECES), max_size=8).map(lambda pieces: "http://" + "".join(pieces)))
def test_what_is_accepted_has_a_host_and_neither_userinfo_nor_fragment(url: str) -> None:
    try:
        AskedTask.model_validate({"agent_id": "everything", "task": "echo", "callback_url": url})
    except ValidationError:
        return
    parts = urlsplit(url)
    assert parts.hostname and "@" not in parts.netloc and "#" not in url
    assert parts.port is None or 0 < parts.port < 65536


def test_urls_of_one_host_and_port_have_one_peer(settings: Settings) -> None:
    peer = partial(peer_of, keys_dir=settings.keys_dir)
    alike = {peer(url) for url in ("http://a.org/x", "http://A.ORG:80/y?z", "http://a.org")}
    assert len(alike) == 1
    assert len({peer(url) for url in ("http://a.org", "https://a.org", "http://b.org", "http://a.org:81")} | alike) == 4


def test_jitter_spreads_what_failed_at_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: high)

    async def scenario(here: House, receiver: Receiver) -> None:
        await here.ended(receiver.url())
        await here.deliver()
        assert 5.5 < await here.due_in_s() <= 6

    play(settings, scenario, answer(500))
