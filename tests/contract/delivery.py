"""What delivery keeps, whatever carries it, as users of a whole platform see it.

A module that runs this has fixtures `platform` (as `settings_for` says), `carrier` and `outage`, and imports these
tests with `*`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import uuid4

import httpx
import pytest

from tests.ledger_origin import Origin, origin_in_thread
from tests.system.platform import PASSWORD, Client, Platform
from tests.system.tasks import all_ended, effects, play, record, running, until, worker_of

# Two processes, so that one can be killed, with two slots each, so that they are soon taken.
SLOTS = 4
MOST_QUEUED = 300
# The keeper looks once a second for tasks that nobody was woken for in two.
REMINDED_WITHIN_S = 4
ALL_OVER_S = 15


def settings_for(outside: Origin) -> dict[str, str]:
    return {
        "SUTAZAI_WORKERS": "2",
        "SUTAZAI_WORKER_TASKS": str(SLOTS // 2),
        "SUTAZAI_MAX_QUEUED_PER_USER": str(MOST_QUEUED),
        "SUTAZAI_ADMIN_PASSWORD": PASSWORD,
        "SUTAZAI_EGRESS_ALLOW": f"127.0.0.1:{outside.port}",
    }


class Carrier(Protocol):
    """What takes wake-ups from the keeper to the workers, and how to harm it."""

    @property
    def alarm(self) -> str | None:
        """What the keeper's log says once wake-ups were lost; None where nobody can know."""

    async def accept_unheard(self, client: Client, asked: Sequence[dict[str, Any]]) -> list[str]:
        """Tasks of `everything` for whom nobody was woken."""

    def copying(self) -> AbstractAsyncContextManager[Callable[[], Awaitable[None]]]:
        """What sends five copies of a wake-up for `everything`."""

    async def litter(self) -> list[str]:
        """Puts what is no wake-up among them. Returns what of it operators get to see."""


@dataclass(frozen=True)
class Outage:
    """`perform` ends what carries by kill -9 or otherwise, and returns once it answers again."""

    perform: Callable[[], None]
    refuses: bool


@pytest.fixture(scope="module")
def outside() -> Iterator[Origin]:
    with origin_in_thread() as outside:
        yield outside


def _ledger(duration_ms: int = 0, *, url: str | None = None, **more: Any) -> dict[str, Any]:
    """A request for a task that leaves an effect."""
    parameters = {"duration_ms": duration_ms, **({"url": url} if url else {})}
    return {"agent_id": "everything", "task": "ledger", "parameters": parameters, **more}


async def _asked(client: Client, *requests: dict[str, Any], **headers: str) -> httpx.Response:
    body = requests[0] if len(requests) == 1 else {"tasks": requests}
    return await client.http.post("/api/v1/agents/execute", json=body, headers=headers)


async def _accepted(client: Client, *requests: dict[str, Any]) -> list[str]:
    answer = await _asked(client, *requests)
    assert answer.status_code == 202, answer.text
    data = answer.json()["data"]
    return [task["task_id"] for task in data.get("tasks", [data])]


async def _cancel(client: Client, task_id: str) -> tuple[int, str]:
    """How it was answered, and the state that the task was said to be in."""
    answer = await client.http.post(f"/api/v1/tasks/{task_id}/cancel")
    body = answer.json()
    return answer.status_code, (body["data"] if answer.is_success else body["error"]["details"])["status"]


def _course(task: dict[str, Any]) -> list[str]:
    assert [event["sequence"] for event in task["events"]] == list(range(1, len(task["events"]) + 1))
    return [event["type"].removeprefix("task.").removesuffix(".v1") for event in task["events"]]


def _at(task: dict[str, Any], name: str) -> datetime:
    return datetime.fromisoformat(task[name])


async def _done_once(platform: Platform, client: Client, ids: Sequence[str], **alike: Any) -> None:
    tasks = [await client.ended(task_id) for task_id in ids]
    expected = {"status": "succeeded", **alike}
    assert [{name: task[name] for name in expected} for task in tasks] == [expected] * len(ids)
    once = dict.fromkeys(ids, 1)
    assert await effects(platform, ids) == (once, once)


@asynccontextmanager
async def _busy(platform: Platform, client: Client, carrier: Carrier) -> AsyncIterator[str]:
    """Every slot is taken; cancelling the task given frees one. The others are cancelled in the end."""
    ids = [(await _accepted(client, _ledger(100_000, timeout=120_000)))[0] for _ in range(SLOTS)]
    held = "SELECT count(*) FROM agent_executions WHERE id = ANY($1) AND status = 'running'"
    async with record(platform) as connection, carrier.copying() as copy:
        while await connection.fetchval(held, ids) < SLOTS:
            await copy()
            await asyncio.sleep(0.05)
    try:
        yield ids[0]
    finally:
        for task_id in ids:
            await _cancel(client, task_id)


@asynccontextmanager
async def _repeating(act: Callable[[], Awaitable[None]], *, every_s: float) -> AsyncIterator[None]:
    async def repeat() -> None:
        while True:
            await act()
            await asyncio.sleep(every_s)

    async with asyncio.TaskGroup() as group:
        repeated = group.create_task(repeat())
        yield
        repeated.cancel()


# --- order and time ------------------------------------------------------------------------------------------------


def test_the_most_urgent_task_starts_first(platform: Platform, carrier: Carrier) -> None:
    async def scenario(client: Client) -> None:
        async with _busy(platform, client, carrier) as held:
            asked = ["low", "low", "low", "normal", "high", "urgent"]
            ids = [(await _accepted(client, _ledger(priority=name)))[0] for name in asked]
            assert await _cancel(client, held) == (200, "cancelled")
            await _done_once(platform, client, ids, attempts=1)
        tasks = {task_id: await client.task(task_id) for task_id in ids}
        started = sorted(ids, key=lambda task_id: _at(tasks[task_id], "started_at"))
        assert [asked[ids.index(task_id)] for task_id in started] == ["urgent", "high", "normal", "low", "low", "low"]

    play(platform, scenario)


def test_nothing_starts_after_it_has_expired(platform: Platform, carrier: Carrier) -> None:
    async def scenario(client: Client) -> None:
        async with _busy(platform, client, carrier) as held:
            late = await _accepted(client, _ledger(ttl_s=0.5, priority="urgent"), _ledger(ttl_s=1, priority="urgent"))
            patient = await _accepted(client, _ledger(priority="low"))
            expired = [await client.ended(task_id, within_s=6) for task_id in late]
            for task in expired:
                assert (task["status"], task["started_at"], task["attempts"]) == ("expired", None, 0)
                assert timedelta(0) <= _at(task, "finished_at") - _at(task, "expires_at") < timedelta(seconds=5)
                assert _course(task) == ["submitted", "expired"]
            await _cancel(client, held)
            await _done_once(platform, client, patient)
        assert [await client.task(task_id) for task_id in late] == expired
        assert await effects(platform, late) == ({}, dict.fromkeys(late, 1))

    play(platform, scenario)


# --- failures ------------------------------------------------------------------------------------------------------


def test_what_may_pass_is_tried_again_after_its_back_off(platform: Platform) -> None:
    async def scenario(client: Client) -> None:
        asked = _ledger()
        asked["parameters"] |= {"failure": "unavailable", "fail_attempts": 1}
        ids = await _accepted(client, asked)
        await _done_once(platform, client, ids, attempts=2, losses=0, error=None)
        task = await client.task(ids[0])
        assert _course(task) == ["submitted", "started", "requeued", "started", "succeeded"]
        failed, again = (datetime.fromisoformat(event["at"]) for event in task["events"][2:4])
        # Two seconds, less up to a half by chance, and what the keeper and the wake-up take.
        assert timedelta(seconds=1) <= again - failed < timedelta(seconds=5)
        # The effect is of the first attempt, which failed only then.
        assert task["result"]["first"] is False

    play(platform, scenario)


def test_a_task_out_of_attempts_is_a_dead_letter_and_done_when_replayed(platform: Platform, outside: Origin) -> None:
    async def scenario(client: Client) -> None:
        outside.away = True
        [lost] = await _accepted(client, _ledger(url=outside.url))
        task = await client.ended(lost)
        assert (task["status"], task["attempts"], task["error"]["code"]) == ("failed", 3, "SERVICE_UNAVAILABLE")
        assert _course(task) == ["submitted", "started", *["requeued", "started"] * 2, "failed"]
        outside.away = False
        async with Client(platform.api, "admin") as operator:
            [letter] = await _letters(operator, "task")
            assert (letter["consumer"], letter["attempts"]) == ("everything-ledger", 3)
            assert letter["event"]["subject"] == lost
            answer = await operator.http.post(f"/api/v1/dead-letters/{letter['id']}/replay")
            assert answer.status_code == 202, answer.text
            again = answer.json()["data"]["task_id"]
            await _done_once(platform, client, [again], attempts=1, retry_of=lost)
            assert await _letters(operator, "task") == []
        assert (await client.task(lost))["status"] == "failed"
        assert await effects(platform, [lost]) == ({}, {lost: 1})
        assert (lost in outside.keys, outside.keys[again]) == (False, {f"{again}:effect"})

    try:
        play(platform, scenario)
    finally:
        outside.away = False


async def _letters(operator: Client, reason: str) -> list[dict[str, Any]]:
    answer = await operator.http.get("/api/v1/dead-letters", params={"reason": reason})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]["dead_letters"]
    return found


# --- cancel --------------------------------------------------------------------------------------------------------


def test_a_cancelled_task_ends_at_once_and_leaves_nothing(platform: Platform, carrier: Carrier) -> None:
    async def scenario(client: Client) -> None:
        async with _busy(platform, client, carrier) as held:
            [queued] = await _accepted(client, _ledger(priority="urgent"))
            [neighbour] = await _accepted(client, _ledger(priority="low"))
            for task_id in (queued, held):
                assert await _cancel(client, task_id) == (200, "cancelled")
            # In the slot that is free now, a minute before its time.
            assert (await client.ended(neighbour, within_s=5))["status"] == "succeeded"
            courses = [_course(await client.task(task_id)) for task_id in (queued, held)]
            assert courses == [["submitted", "cancelled"], ["submitted", "started", "cancelled"]]
            assert await _cancel(client, held) == (409, "cancelled")
            assert await _cancel(client, neighbour) == (409, "succeeded")
        assert await effects(platform, [queued, held]) == ({}, {queued: 1, held: 1})

    play(platform, scenario)


def test_of_a_cancel_and_an_end_at_the_same_time_one_holds(platform: Platform) -> None:
    async def scenario(client: Client) -> None:
        ids = await _accepted(client, *(_ledger(n * 10) for n in range(24)))
        await running(client, ids[-1])
        answers = await asyncio.gather(*(_cancel(client, task_id) for task_id in ids))
        tasks = [await client.ended(task_id) for task_id in ids]
        assert set(answers) <= {(200, "cancelled"), (409, "succeeded")}
        assert [task["status"] for task in tasks] == [status for _, status in answers]
        left, results = await effects(platform, ids)
        assert results == dict.fromkeys(ids, 1)
        assert set(left.values()) <= {1}
        assert {task_id for task_id, (_, status) in zip(ids, answers, strict=True) if status == "succeeded"} <= set(
            left
        )

    play(platform, scenario)


# --- once, and not lost --------------------------------------------------------------------------------------------


def test_requests_under_one_key_at_once_make_one_task(platform: Platform) -> None:
    async def scenario(client: Client) -> None:
        key = {"Idempotency-Key": str(uuid4())}
        answers = await asyncio.gather(*(_asked(client, _ledger(100), **key) for _ in range(8)))
        assert {answer.status_code for answer in answers} == {202}
        [task_id] = {answer.json()["data"]["task_id"] for answer in answers}
        assert (await _asked(client, _ledger(101), **key)).status_code == 422
        await _done_once(platform, client, [task_id], attempts=1)
        assert (await _asked(client, _ledger(100), **key)).json()["data"]["task_id"] == task_id
        async with record(platform) as connection:
            mine = "SELECT count(*) FROM agent_executions WHERE starts_with(idempotency_key, $1)"
            assert await connection.fetchval(mine, key["Idempotency-Key"]) == 1

    play(platform, scenario)


def test_tasks_whose_wake_up_was_lost_are_done_by_the_reminder(platform: Platform, carrier: Carrier) -> None:
    async def scenario(client: Client) -> None:
        log = platform.home / "log" / "gateway.log"
        said = log.stat().st_size
        ids = await carrier.accept_unheard(client, [_ledger() for _ in range(3)])
        await all_ended(platform, ids, within_s=REMINDED_WITHIN_S + 1)
        await _done_once(platform, client, ids, attempts=1, losses=0)

        async def alarmed() -> bool:
            return carrier.alarm is None or carrier.alarm.encode() in log.read_bytes()[said:]

        async with asyncio.timeout(10):
            await until(alarmed)

    play(platform, scenario)


def test_wake_ups_that_come_five_times_and_late_change_nothing(platform: Platform, carrier: Carrier) -> None:
    async def scenario(client: Client) -> None:
        async with carrier.copying() as copy, _repeating(copy, every_s=0.005):
            ids = await _accepted(client, *(_ledger(n % 50) for n in range(100)))
            await all_ended(platform, ids, within_s=30)
        await _done_once(platform, client, ids, attempts=1, losses=0)

    play(platform, scenario)


# --- poison --------------------------------------------------------------------------------------------------------


def test_what_is_no_wake_up_is_kept_for_operators_and_stops_nobody(platform: Platform, carrier: Carrier) -> None:
    async def scenario(client: Client) -> None:
        before = platform.pids()
        neighbours = await _accepted(client, *(_ledger(200) for _ in range(8)))
        litter = await carrier.litter()
        neighbours += await _accepted(client, *(_ledger() for _ in range(8)))
        await _done_once(platform, client, neighbours, attempts=1, losses=0)
        async with Client(platform.api, "admin") as operator, asyncio.timeout(5):

            async def kept() -> bool:
                letters = await _letters(operator, "unreadable")
                return sorted(letter["event"]["body"] for letter in letters) == sorted(litter)

            await until(kept)
        # Whoever has met it still hears.
        assert (await client.execute("everything", "ledger", {}, wait=True))["status"] == "succeeded"
        assert platform.pids() == before

    play(platform, scenario)


def test_a_process_that_a_tool_ends_takes_nobody_with_it(platform: Platform) -> None:
    async def scenario(client: Client) -> None:
        before = platform.pids()
        neighbours = await _accepted(client, *(_ledger(400) for _ in range(SLOTS - 1)))
        crash = {"failure": "exit", "fail_attempts": 1}
        poisoned = await client.ended((await client.execute("everything", "ledger-crash", crash))["task_id"])
        assert (poisoned["status"], poisoned["attempts"], poisoned["losses"]) == ("succeeded", 2, 0)
        await _done_once(platform, client, neighbours, attempts=1, losses=0)
        assert platform.pids() == before

    play(platform, scenario)


# --- overload ------------------------------------------------------------------------------------------------------


def test_the_excess_is_refused_and_everything_accepted_is_done(platform: Platform, carrier: Carrier) -> None:
    async def scenario(client: Client) -> None:
        ids: list[str] = []
        async with Client(platform.api, "greedy") as greedy, _busy(platform, client, carrier):
            user_id = (await greedy.http.get("/api/v1/users/me")).json()["data"]["id"]
            for _ in range(MOST_QUEUED // 50):
                ids += await _accepted(greedy, *[_ledger()] * 50)
            while (answer := await _asked(greedy, _ledger())).status_code == 202:
                ids.append(answer.json()["data"]["task_id"])
                # By a count of a moment ago, a burst may pass by a little.
                assert len(ids) < MOST_QUEUED * 1.2
                await asyncio.sleep(0.1)
            refusals = [answer, *[await _asked(greedy, _ledger()) for _ in range(5)]]
            for refused in [*refusals, await _asked(greedy, _ledger(), _ledger())]:
                assert (refused.status_code, refused.headers["Retry-After"]) == (429, "5")
                error = refused.json()["error"]
                assert (error["code"], error["details"]["limit"]) == ("RATE_LIMIT_EXCEEDED", MOST_QUEUED)
            # Others are not to suffer.
            others = await _accepted(client, _ledger())
        await all_ended(platform, [*ids, *others], within_s=30)
        async with record(platform) as connection:
            rows = await connection.fetch("SELECT id::text, status FROM agent_executions WHERE user_id = $1", user_id)
            assert {row["id"]: row["status"] for row in rows} == dict.fromkeys(ids, "succeeded")
        once = dict.fromkeys(ids, 1)
        assert await effects(platform, ids) == (once, once)

    play(platform, scenario, within_s=60)


# --- faults --------------------------------------------------------------------------------------------------------


def test_a_task_whose_worker_is_killed_is_done_within_five_seconds(platform: Platform, outside: Origin) -> None:
    async def scenario(client: Client) -> None:
        [task_id] = await _accepted(client, _ledger(1000, url=outside.url))
        await running(client, task_id)
        platform.kill(await worker_of(platform, task_id))
        task = await client.ended(task_id, within_s=5)
        assert (task["status"], task["attempts"], task["losses"]) == ("succeeded", 1, 1)
        assert task["result"]["first"] is True and task["result"]["url_status"] == 200
        assert await effects(platform, [task_id]) == ({task_id: 1}, {task_id: 1})
        assert outside.keys[task_id] == {f"{task_id}:effect"}
        assert _course(task) == ["submitted", "started", "requeued", "started", "succeeded"]

    play(platform, scenario)


def test_all_that_killed_processes_held_is_done(platform: Platform, outside: Origin) -> None:
    async def scenario(client: Client) -> None:
        ids = await _accepted(client, *(_ledger(300, url=outside.url) for _ in range(SLOTS * 2)))
        await running(client, ids[0])
        for pid in platform.pids()["worker"]:
            platform.kill(pid)
        await all_ended(platform, ids, within_s=10)
        await _done_once(platform, client, ids, attempts=1)
        assert [outside.keys[task_id] for task_id in ids] == [{f"{task_id}:effect"} for task_id in ids]

    play(platform, scenario)


@dataclass
class _Load:
    """Tasks asked for one after the other, each under its key until it is accepted."""

    client: Client
    url: str
    ids: list[str] = field(default_factory=list)
    refused: int = 0

    async def one(self) -> None:
        key = {"Idempotency-Key": str(uuid4())}
        while True:
            try:
                answer = await _asked(self.client, _ledger(20, url=self.url), **key)
            except httpx.TransportError:
                self.refused += 1
            else:
                assert answer.status_code in (202, 503), answer.text
                if answer.status_code == 202:
                    self.ids.append(answer.json()["data"]["task_id"])
                    return
                self.refused += 1
            await asyncio.sleep(0.2)

    async def go_on(self, stopped: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            while not stopped.is_set():
                group.create_task(self.one())
                # Slowly enough for what comes in during a long restart not to be too much.
                await asyncio.sleep(0.08)


def test_a_restart_of_what_carries_loses_nothing(platform: Platform, outside: Origin, outage: Outage) -> None:
    async def scenario(client: Client) -> None:
        load, stopped = _Load(client, outside.url), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(load.go_on(stopped))
            await asyncio.sleep(0.5)
            before = len(load.ids)
            await asyncio.to_thread(outage.perform)
            meanwhile = len(load.ids) - before
            await asyncio.sleep(0.5)
            stopped.set()
        await all_ended(platform, load.ids, within_s=ALL_OVER_S)
        await _done_once(platform, client, load.ids)
        assert [outside.keys[task_id] for task_id in load.ids] == [{f"{task_id}:effect"} for task_id in load.ids]
        assert outage.refuses or (load.refused == 0 and meanwhile > 0)

    play(platform, scenario, within_s=90)
