"""Tasks in children: who cannot get one, or wants none any more, costs no other task its child."""

import asyncio
import os
import resource
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from shared import children as children_module
from shared.catalog import actions_of, load
from shared.children import Children
from shared.config import Settings
from shared.function import Spec
from shared.perform import RunContext
from shared.ports.tasks import Claimed, Outcome
from shared.stores.postgres.database import connect
from shared.strict_json import Json
from tests.agents.called import Replica, at
from tests.fakes import ADA

LONG = load("functions.agents.everything.trigger_long_running_operation")
OF_ANOTHER_AGENT = load("tests.mcp.chatty")


@dataclass
class Heard(RunContext):
    """Tells of its first progress: by then its action runs."""

    runs: asyncio.Event = field(default_factory=asyncio.Event)

    def progress(self, percent: float, message: str = "") -> None:
        super().progress(percent, message)
        self.runs.set()


class Overdue(RunContext):
    def progress(self, percent: float, message: str = "") -> None:
        raise TimeoutError


def _task(spec: Spec, **parameters: Json) -> Claimed:
    return Claimed(
        user_id=ADA,
        id=uuid4(),
        agent=spec.agent,
        tool=spec.tool.name,
        parameters=parameters,
        timeout_ms=60_000,
        attempt=1,
        max_attempts=3,
        losses=1,
        fence=2,
    )


async def _long(
    children: Children, duration_s: float = 0.01, *, run: RunContext | None = None, timeout_s: float = 60
) -> Outcome:
    task = _task(LONG, duration=duration_s, steps=1 + round(duration_s * 15))
    return await children.run(LONG, task, run or RunContext(ADA, task.id, 1), timeout_s=timeout_s, alone=True)


async def _begun(children: Children, duration_s: float) -> asyncio.Task[Outcome]:
    run = Heard(ADA, uuid4(), 1)
    work = asyncio.create_task(_long(children, duration_s, run=run))
    await run.runs.wait()
    return work


def _ends_the_attempt(outcome: Outcome) -> bool:
    return outcome.error is not None and outcome.error.code == "SERVICE_UNAVAILABLE" and outcome.retry_in_s is not None


def _below(parent: int) -> set[int]:
    """The processes of ours that a process has started."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            is_ours = b"shared.child" in stat.with_name("cmdline").read_bytes()
            if is_ours and int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.add(int(stat.parent.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def _nursery() -> int:
    (pid,) = _below(os.getpid())
    return pid


def _handles() -> int:
    """How many processes this one holds handles of."""
    opened = (Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd"))
    return sum(os.path.lexists(file) and "pidfd" in os.readlink(file) for file in opened)


@contextmanager
def _room_for(descriptors: int, pid: int) -> Iterator[None]:
    """So many more can a process open."""
    folder = f"/proc/{pid}/fd"
    taken = {int(name) for name in os.listdir(folder) if os.path.lexists(f"{folder}/{name}")}
    most = 0
    while most + 1 - len([number for number in taken if number <= most]) <= descriptors:
        most += 1
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def _stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when a nursery has been asked for a child."""
    event, send_fds = threading.Event(), socket.send_fds

    def send(*args: Any) -> int:
        sent = send_fds(*args)
        event.set()
        return sent

    monkeypatch.setattr(socket, "send_fds", send)
    return event


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SUTAZAI_HOME", str(tmp_path))


@contextmanager
def _no_handle_is_left() -> Iterator[None]:
    before = _handles()
    yield
    assert _handles() == before


@pytest.mark.parametrize("descriptors", [0, 1, 2])
def test_a_nursery_that_cannot_be_started_costs_one_attempt(descriptors: int) -> None:
    async def play() -> None:
        children = Children([LONG], size=1)
        try:
            with _room_for(descriptors, os.getpid()):
                assert _ends_the_attempt(await _long(children))
            assert (await _long(children)).status == "succeeded"
        finally:
            await children.close()

    asyncio.run(asyncio.wait_for(play(), 30))


@pytest.mark.parametrize("descriptors", [0, 1, 2])
def test_a_child_that_this_process_has_no_descriptors_for_costs_its_own_attempt(descriptors: int) -> None:
    async def play() -> None:
        children = Children([LONG], size=1)
        try:
            neighbour = await _begun(children, 2)
            nursery = _nursery()
            with _room_for(descriptors, os.getpid()):
                assert _ends_the_attempt(await _long(children))
            assert (await _long(children)).status == "succeeded"
            assert (await neighbour).status == "succeeded"
            assert _nursery() == nursery
        finally:
            await children.close()

    with _no_handle_is_left():
        asyncio.run(asyncio.wait_for(play(), 30))


def test_a_child_that_the_nursery_has_no_descriptors_for_costs_its_own_attempt() -> None:
    async def play() -> None:
        children = Children([LONG], size=1)
        try:
            neighbour = await _begun(children, 2)
            nursery = _nursery()
            with _room_for(0, nursery):
                assert _ends_the_attempt(await _long(children))
            assert (await _long(children)).status == "succeeded"
            assert (await neighbour).status == "succeeded"
            assert _nursery() == nursery
        finally:
            await children.close()

    asyncio.run(asyncio.wait_for(play(), 30))


def test_a_nursery_that_ended_is_replaced() -> None:
    async def play() -> None:
        children = Children([LONG], size=1)
        try:
            neighbour = await _begun(children, 30)
            nursery = _nursery()
            os.kill(nursery, signal.SIGKILL)
            assert _ends_the_attempt(await neighbour)
            while (outcome := await _long(children)).status != "succeeded":
                assert _ends_the_attempt(outcome)
            assert _nursery() != nursery
        finally:
            await children.close()

    asyncio.run(asyncio.wait_for(play(), 30))


def test_a_nursery_that_starts_too_slowly_is_no_timeout_of_the_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        children = Children([LONG], size=1)
        try:
            with monkeypatch.context() as patch:
                patch.setattr(children_module, "_START_S", 0.01)
                assert _ends_the_attempt(await _long(children))
            assert (await _long(children)).status == "succeeded"
        finally:
            await children.close()

    asyncio.run(asyncio.wait_for(play(), 30))


def test_a_nursery_that_answers_too_late_ends_nobody_and_its_answer_is_for_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(children_module, "_START_S", 3.0)

    async def play() -> None:
        children = Children([LONG], size=1)
        try:
            neighbour = await _begun(children, 5)
            nursery = _nursery()
            (of_neighbour,) = _below(nursery)
            with _stopped(nursery):
                assert _ends_the_attempt(await _long(children))
            other = await _begun(children, 60)
            while len(_below(nursery)) > 2:
                await asyncio.sleep(0)
            other.cancel()
            await asyncio.wait([other])
            while _below(nursery) != {of_neighbour}:
                await asyncio.sleep(0)
            assert (await neighbour).status == "succeeded"
        finally:
            await children.close()

    with _no_handle_is_left():
        asyncio.run(asyncio.wait_for(play(), 30))


def test_only_the_time_that_a_tool_has_is_its_timeout() -> None:
    async def play() -> None:
        children = Children([LONG], size=1)
        try:
            assert _ends_the_attempt(await _long(children, run=Overdue(ADA, uuid4(), 1)))
            late = await _long(children, 60, timeout_s=0.2)
            assert late.error is not None and late.error.code == "TIMEOUT"
        finally:
            await children.close()

    asyncio.run(asyncio.wait_for(play(), 30))


def test_a_child_whose_task_was_cancelled_before_it_was_born_is_nobody_elses(asked: threading.Event) -> None:
    async def play() -> None:
        children = Children([LONG], size=1)
        try:
            neighbour = await _begun(children, 3)
            nursery = _nursery()
            (of_neighbour,) = _below(nursery)
            asked.clear()
            with _stopped(nursery):
                left = asyncio.create_task(_long(children, 60))
                await asyncio.to_thread(asked.wait, 20)
                left.cancel()
                await asyncio.wait([left])
            other = await _begun(children, 60)
            while len(_below(nursery)) > 2:
                await asyncio.sleep(0)
            other.cancel()
            await asyncio.wait([other])
            while _below(nursery) != {of_neighbour}:
                await asyncio.sleep(0)
            assert (await neighbour).status == "succeeded"
        finally:
            await children.close()

    with _no_handle_is_left():
        asyncio.run(asyncio.wait_for(play(), 30))


def test_leaving_waits_for_no_nursery_that_hangs(asked: threading.Event) -> None:
    async def play() -> None:
        children = Children([LONG], size=1)
        try:
            await _begun(children, 60)
            asked.clear()
            os.kill(_nursery(), signal.SIGSTOP)
            left = asyncio.create_task(_long(children, 60))
            await asyncio.to_thread(asked.wait, 20)
            left.cancel()
            await asyncio.wait([left])
        finally:
            async with asyncio.timeout(10):
                await children.close()
        assert not _below(os.getpid())

    asyncio.run(asyncio.wait_for(play(), 30))


def test_lost_tasks_of_one_agent_hold_up_no_lost_task_of_another() -> None:
    async def play() -> None:
        children = Children([LONG, OF_ANOTHER_AGENT], size=1)
        try:
            works = [await _begun(children, 60) for _ in range(children.most_alone)]
            task = _task(OF_ANOTHER_AGENT)
            run = RunContext(ADA, task.id, 1)
            async with asyncio.timeout(20):
                outcome = await children.run(OF_ANOTHER_AGENT, task, run, timeout_s=20, alone=True)
            assert outcome.status == "succeeded"
            assert not any(work.done() for work in works)
            for work in works:
                work.cancel()
            await asyncio.wait(works)
        finally:
            await children.close()

    asyncio.run(asyncio.wait_for(play(), 30))


def test_a_connection_that_was_ended_while_its_child_stood_idle_fails_no_task(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUTAZAI_HOME", str(settings.home))
    monkeypatch.setenv("SUTAZAI_POSTGRES_URL", settings.postgres_url)

    async def play(here: Replica) -> None:
        user_id = (await here.newcomer()).user_id
        specs = actions_of("everything")
        (spec,) = (spec for spec in specs if spec.tool.name == "ledger")
        children = Children(specs, size=1)
        writers = (
            "SELECT array_agg(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query LIKE '%INTO ledger%' AND pid <> pg_backend_pid()"
        )
        outside = await connect(settings.postgres_url)
        try:
            held = []
            for _ in range(4):
                task = replace(_task(spec), user_id=user_id)
                outcome = await children.run(spec, task, RunContext(user_id, task.id, 1), timeout_s=20, alone=True)
                assert outcome.error is None
                (pid,) = await outside.fetchval(writers)
                held.append(pid)
                if len(held) != 2:
                    assert await outside.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)
            assert held[1] != held[0] and held[2] == held[1] and held[3] != held[2]
        finally:
            await outside.close()
            await children.close()

    at(settings, "everything", play)
