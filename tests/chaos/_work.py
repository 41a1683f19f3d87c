"""Tasks of the ledger tool: submitted until they are accepted, awaited, and judged by what they left behind."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx

from events.tasks import TaskCancelled, TaskExpired, TaskFailed, TaskRequeued, TaskStarted, TaskSucceeded
from tests.chaos._cluster import AWAY
from tests.ledger_origin import Origin
from tests.report import Target, at_most, exactly
from tests.system.platform import Client

ALL_OVER_S = 15.0
# Of all that were accepted, where one of several workers is killed every few seconds: a task may be with five of them.
GIVEN_UP = 0.001
# What fails since the record is away is run again in the same attempt, three times at most.
RUNS_WHILE_AWAY = 4
RESULTS = tuple(event.type for event in (TaskSucceeded, TaskFailed, TaskCancelled, TaskExpired))
_ENDED = "finished_at IS NOT NULL"
_SHOWN = 10
# What a client is to try again; a gateway that is just starting knows nobody yet.
_AGAIN = frozenset({429, 500, 502, 503, 504})


@dataclass
class Accepted:
    """`ids` in the order of their answers; `refused` counts what had to be tried again."""

    ids: list[str] = field(default_factory=list)
    refused: int = 0
    unanswered: int = 0


class Place(Protocol):
    """Where tasks run; `record` waits for a server that is starting."""

    def record(self) -> AbstractAsyncContextManager[Any]: ...


async def submit(
    client: Client,
    tasks: Sequence[dict[str, Any]],
    key: str,
    found: Accepted,
    *,
    api: Callable[[], str] = lambda: "",
) -> None:
    """Until it is accepted: with a key, so that a lost answer makes no second task. `api`: where that moves."""
    while True:
        try:
            answer = await client.http.post(
                f"{api()}/api/v1/agents/execute", json={"tasks": list(tasks)}, headers={"Idempotency-Key": key}
            )
        except (httpx.TransportError, FileNotFoundError):
            found.unanswered += 1
        else:
            if answer.status_code == 202:
                found.ids += [str(one["task_id"]) for one in answer.json()["data"]["tasks"]]
                return
            assert answer.status_code in _AGAIN, answer.text
            found.refused += 1
        await asyncio.sleep(0.1)


def ledger(**parameters: Any) -> dict[str, Any]:
    return {"agent_id": "everything", "task": "ledger", "parameters": parameters, "ttl_s": 3600}


async def until_ended(here: Place, ids: Sequence[str], *, since: float, within_s: float = 90.0) -> float:
    """Seconds from `since` until all have ended by the record, or the bound."""
    query = f"SELECT count(*) FROM agent_executions WHERE id = ANY($1) AND {_ENDED}"
    while (passed := time.monotonic() - since) < within_s:
        try:
            async with here.record() as connection:
                while (passed := time.monotonic() - since) < within_s:
                    if await connection.fetchval(query, ids) == len(ids):
                        return time.monotonic() - since
                    await asyncio.sleep(0.1)
        except AWAY:
            await asyncio.sleep(0.1)
    return passed


async def _rows(here: Place, query: str, *args: Any) -> dict[str, int]:
    async with here.record() as connection:
        return {row["name"]: row["n"] for row in await connection.fetch(query, *args)}


async def _courses(here: Place, ids: Sequence[str]) -> list[dict[str, Any]]:
    """What happened to them, for whoever has to find out why."""
    query = (
        "SELECT e.id::text, e.status, e.attempt, e.losses, e.error, (SELECT array_agg("
        "   to_char(v.at, 'HH24:MI:SS.MS') || ' ' || split_part(v.type, '.', 2)"
        "   || coalesce(' ' || (v.data ->> 'reason'), '') ORDER BY v.position)"
        " FROM events v WHERE v.subject = e.id::text) AS course FROM agent_executions e WHERE id = ANY($1)"
    )
    async with here.record() as connection:
        return [dict(row) for row in await connection.fetch(query, ids)]


async def judged(
    here: Place,
    ids: Sequence[str],
    outside: Origin | None = None,
    *,
    others: Sequence[str] = (),
    given_up: float = 0.0,
    runs: int = 1,
) -> dict[str, Target]:
    """What DELIVERY promises of all that were accepted, counted in the record and outside of it.

    `others`: those that leave no effect; `given_up`: the share that may have lost five workers; `runs`: how often what
    was started once may have run.
    """
    mine = {*ids, *others}
    statuses = await _rows(here, "SELECT id::text AS name, (finished_at IS NOT NULL)::int AS n FROM agent_executions")
    how = await _rows(here, "SELECT status AS name, count(*) AS n FROM agent_executions GROUP BY 1")
    effects = await _rows(here, "SELECT execution_id::text AS name, count(*) AS n FROM ledger GROUP BY 1")
    results = await _rows(
        here, "SELECT subject AS name, count(*) AS n FROM events WHERE type = ANY($1) GROUP BY 1", list(RESULTS)
    )
    audited = await _rows(
        here,
        "SELECT reverse(split_part(reverse(object), '/', 1)) AS name, count(*) AS n FROM audit_log"
        " WHERE action = ANY($1) GROUP BY 1",
        [f"task.{result.split('.')[1]}" for result in RESULTS],
    )
    succeeded = await _rows(here, "SELECT id::text AS name, 1 AS n FROM agent_executions WHERE status = 'succeeded'")
    lost_five = await _rows(
        here, "SELECT id::text AS name, 1 AS n FROM agent_executions WHERE error ->> 'code' = 'WORKER_LOST'"
    )
    starts = await _rows(
        here, "SELECT subject AS name, count(*) AS n FROM events WHERE type = $1 GROUP BY 1", TaskStarted.type
    )
    print("ended:", how, "" if outside is None else f"outside calls: {sum(outside.calls.values())}")
    other = mine - succeeded.keys() - lost_five.keys()
    for why, found in (("ended otherwise:", other), ("given up:", mine & lost_five.keys())):
        if found:
            print(why, *await _courses(here, sorted(found)[:_SHOWN]), sep="\n")
    targets = {
        "lost": exactly(sum(not statuses.get(task_id) for task_id in mine), 0),
        "rows beyond the accepted ones": exactly(len(statuses.keys() - mine), 0),
        "duplicated effects": exactly(sum(count > 1 for count in effects.values()), 0),
        "succeeded without an effect": exactly(len(succeeded.keys() - effects.keys() - set(others)), 0),
        "not exactly one result event": exactly(sum(results.get(task_id, 0) != 1 for task_id in mine), 0),
        "not exactly one audit line": exactly(sum(audited.get(task_id, 0) != 1 for task_id in mine), 0),
        "ended by neither success nor five lost workers": exactly(len(other), 0),
        "given up after five lost workers": at_most(len(mine & lost_five.keys()), given_up * len(mine)),
        "started otherwise than once and once a requeue": exactly(await _unlike_their_starts(here, sorted(mine)), 0),
    }
    if outside is not None:
        second = sum(len(keys) > 1 for keys in outside.keys.values())
        called = len(succeeded.keys() - outside.keys.keys() - set(others))
        targets |= {
            "outside calls with a second key": exactly(second, 0),
            "succeeded without an outside call": exactly(called, 0),
            "called more often than run": exactly(_beyond(outside.calls, starts, runs), 0),
        }
    return targets


def _beyond(calls: Mapping[str, int], starts: Mapping[str, int], runs: int) -> int:
    return sum(count > starts.get(task_id, 0) * runs for task_id, count in calls.items())


async def _unlike_their_starts(here: Place, ids: Sequence[str]) -> int:
    """Of those that ended while they ran: what waits may be cancelled or expire after it was requeued."""
    query = (
        "SELECT count(*) FROM (SELECT count(*) FILTER (WHERE v.type = $2) AS started,"
        " count(*) FILTER (WHERE v.type = $3) AS requeued"
        " FROM agent_executions e JOIN events v ON v.subject = e.id::text"
        " WHERE e.id = ANY($1) AND e.status IN ('succeeded', 'failed') GROUP BY e.id) course"
        " WHERE started <> requeued + 1"
    )
    async with here.record() as connection:
        return int(await connection.fetchval(query, ids, TaskStarted.type, TaskRequeued.type))
