"""Effects that are left once, whatever an attempt does afterwards."""

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from functions.agents.everything.ledger import Effect, LeaveEffect, ledger
from functions.agents.everything.ledger_count import LedgerCount, ledger_count
from functions.agents.everything.ledger_crash import Crash, Survived, ledger_crash
from shared.catalog import action
from shared.children import runs_in_child
from shared.errors import ToolError, Unavailable
from shared.function import MIB
from shared.perform import perform
from shared.ports.tasks import Outcome
from tests.fakes import ADA, EXECUTION, FakeEgress, FakeLedger, FakeRun, answered

URL = "http://127.0.0.1:9/effect"
OTHER = UUID(int=9)


def left(request: LeaveEffect, book: FakeLedger, *, attempt: int = 1, egress: FakeEgress | None = None) -> Effect:
    return asyncio.run(ledger(request, run=FakeRun(attempt=attempt), ledger=book, egress=egress or FakeEgress()))


def test_the_first_attempt_leaves_the_effect_and_a_later_one_finds_it() -> None:
    book = FakeLedger()
    assert left(LeaveEffect(), book) == Effect(execution_id=EXECUTION, step="effect", attempt=1, first=True)
    assert left(LeaveEffect(), book, attempt=2) == Effect(execution_id=EXECUTION, step="effect", attempt=2, first=False)
    assert book.effects == {(EXECUTION, "effect"): (ADA, 1)}


def test_each_step_is_an_effect_of_its_own() -> None:
    book = FakeLedger()
    for step in ("one", "two", "one"):
        left(LeaveEffect(step=step), book)
    assert asyncio.run(book.count(ADA, EXECUTION)) == 2


@pytest.mark.parametrize(
    "failure, error", [("tool_error", ToolError), ("unavailable", Unavailable), ("exception", RuntimeError)]
)
def test_an_attempt_that_fails_has_left_its_effect(failure: Any, error: type[Exception]) -> None:
    book = FakeLedger()
    with pytest.raises(error, match="asked for"):
        left(LeaveEffect(failure=failure), book)
    assert book.effects == {(EXECUTION, "effect"): (ADA, 1)}


def test_only_the_first_attempts_fail_when_so_asked() -> None:
    book, request = FakeLedger(), LeaveEffect(failure="unavailable", fail_attempts=2)
    for attempt in (1, 2):
        with pytest.raises(Unavailable):
            left(request, book, attempt=attempt)
    assert left(request, book, attempt=3).first is False
    assert left(LeaveEffect(failure="tool_error", fail_attempts=0), book).attempt == 1


def test_the_url_is_called_once_an_attempt_and_always_with_the_same_key() -> None:
    book, egress = FakeLedger(), FakeEgress({URL: answered(201)})
    request = LeaveEffect(url=URL, step="pay")
    answers = [left(request, book, attempt=attempt, egress=egress) for attempt in (1, 2)]
    assert [answer.url_status for answer in answers] == [201, 201]
    assert [(asked.method, asked.url, asked.headers["Idempotency-Key"]) for asked in egress.requests] == (
        [("POST", URL, f"{EXECUTION}:pay")] * 2
    )
    assert [json.loads(asked.body) for asked in egress.requests] == [
        {"execution_id": str(EXECUTION), "step": "pay", "attempt": 1},
        {"execution_id": str(EXECUTION), "step": "pay", "attempt": 2},
    ]


def test_a_status_is_reported_and_an_absent_peer_ends_the_attempt_before_its_effect() -> None:
    book = FakeLedger()
    request = LeaveEffect(url=URL)
    assert left(request, FakeLedger(), egress=FakeEgress({URL: answered(503)})).url_status == 503
    with pytest.raises(Unavailable):
        left(request, book, egress=FakeEgress({URL: Unavailable("gone")}))
    with pytest.raises(ToolError):
        left(request, book)
    assert book.effects == {}


def test_the_duration_passes_with_progress() -> None:
    run = FakeRun()
    asyncio.run(ledger(LeaveEffect(duration_ms=10), run=run, ledger=FakeLedger(), egress=FakeEgress()))
    assert run.reported == [(100.0, "waiting")]
    naps = list(LeaveEffect(duration_ms=120_000).naps())
    assert sum(nap_s for nap_s, _ in naps) == pytest.approx(120)
    assert max(nap_s for nap_s, _ in naps) <= 0.5
    assert [naps[0][1], naps[-1][1]] == [pytest.approx(100 / 240), 100]


def test_a_result_grows_by_its_padding_until_it_is_larger_than_a_result_may_be() -> None:
    book = FakeLedger()
    assert left(LeaveEffect(padding_bytes=MIB), book).padding == "x" * MIB
    ended = played("ledger", {"padding_bytes": 10 * MIB}, ledger=book, egress=FakeEgress())
    assert ended.error is not None
    assert "larger than" in ended.error.message
    assert book.effects == {(EXECUTION, "effect"): (ADA, 1)}


def played(tool: str, parameters: dict[str, Any], **ports: object) -> Outcome:
    spec = action("everything", tool)
    return asyncio.run(perform(spec, parameters, run=FakeRun(), ports=ports, timeout_s=30, attempts_left=True))


def test_what_a_caller_sees_is_json_without_what_is_absent() -> None:
    ended = played("ledger", {"failure": "none"}, ledger=FakeLedger(), egress=FakeEgress())
    assert ended.result == {"execution_id": str(EXECUTION), "step": "effect", "attempt": 1, "first": True}


@pytest.mark.parametrize("failure, retried", [("unavailable", True), ("tool_error", False), ("exception", False)])
def test_only_an_unavailability_is_tried_again(failure: str, retried: bool) -> None:
    ended = played("ledger", {"failure": failure}, ledger=FakeLedger(), egress=FakeEgress())
    assert (ended.status, ended.retry_in_s is not None) == ("failed", retried)


@pytest.mark.parametrize(
    "asked",
    [
        {"duration_ms": -1},
        {"duration_ms": 120_001},
        {"failure": "exit"},
        {"fail_attempts": -1},
        {"step": ""},
        {"step": "a\r\nX-Evil: 1"},
        {"step": "a\n"},
        {"step": "a" * 101},
        {"padding_bytes": 10 * MIB + 1},
        {"other": 1},
    ],
)
def test_what_the_ledger_does_not_take_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LeaveEffect.model_validate(asked)


def test_effects_are_counted_for_their_owner_alone() -> None:
    book = FakeLedger()
    left(LeaveEffect(step="one"), book)
    left(LeaveEffect(step="two"), book)

    def counted(user_id: UUID, execution_id: UUID) -> int:
        run = FakeRun(user_id=user_id, execution_id=UUID(int=3))
        return asyncio.run(ledger_count(LedgerCount(execution_id=execution_id), run=run, ledger=book)).count

    assert (counted(ADA, EXECUTION), counted(OTHER, EXECUTION), counted(ADA, OTHER)) == (2, 0, 0)
    assert played("ledger-count", {"execution_id": str(EXECUTION)}, ledger=book).result == {"count": 2}


def test_a_crash_is_played_in_a_child_and_survived_after_the_attempts_that_fail() -> None:
    assert runs_in_child(action("everything", "ledger-crash"))
    assert not runs_in_child(action("everything", "ledger"))
    run = FakeRun(attempt=3)
    survived = ledger_crash(Crash(failure="exit", fail_attempts=2, duration_ms=1), run=run)
    assert survived == Survived(execution_id=EXECUTION, attempt=3)
    assert run.reported == [(100.0, "waiting")]


_CRASH = """
import sys
from functions.agents.everything.ledger_crash import Crash, ledger_crash
from tests.fakes import FakeRun
sys.stdout.write("begun")
sys.stdout.flush()
try:
    ledger_crash(Crash(failure=sys.argv[1]), run=FakeRun())
except MemoryError:
    sys.exit(7)
"""


def _crashing(failure: str) -> "subprocess.Popen[bytes]":
    def bound() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (1024 * MIB, 1024 * MIB))

    command = [sys.executable, "-c", _CRASH, failure]
    return subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=bound)


@pytest.mark.parametrize("failure, status", [("exit", 13), ("memory", 7)])
def test_a_process_exits_or_meets_the_bound_of_its_memory(failure: str, status: int) -> None:
    with _crashing(failure) as process:
        assert process.wait(30) == status


def test_a_process_that_hangs_ends_only_when_it_is_killed() -> None:
    with _crashing("hang") as process:
        assert process.stdout is not None
        assert process.stdout.read(5) == b"begun"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait(30) == -signal.SIGKILL
