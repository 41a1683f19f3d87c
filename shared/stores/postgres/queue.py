"""The workers' side of tasks in the record."""

import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Self
from uuid import UUID, uuid4

from shared import strict_json
from shared.batch import Batcher
from shared.crypto import Codec
from shared.dialogue import SILENT, Dialogue
from shared.errors import ConfigurationError, Unavailable
from shared.ports.tasks import Claimed, NewTask, Outcome, Status, TaskError
from shared.stores.postgres import questions
from shared.stores.postgres import queue_sql as sql
from shared.stores.postgres.database import Database
from shared.strict_json import Json

logger = logging.getLogger("sutazai.queue")

# A process beats once a second, so it may miss two beats; after that its tasks are free for others.
ALIVE_S = 3.0
_UNREADABLE = Outcome("failed", error=TaskError(code="INTERNAL_ERROR", message="the task's input cannot be read"))
_Finish = tuple[Claimed, Outcome]
_Record = tuple[UUID, NewTask, Outcome, float]


class PostgresQueue:
    def __init__(self, *, database: Database, codec: Codec) -> None:
        self._database = database
        self._codec = codec
        self._finishing: Batcher[_Finish, bool] = Batcher(self._finish, size=32, parallel=2)
        # One batch at a time: what a statement costs is shared by more rows, and none of their callers waits longer.
        self._recording: Batcher[_Record, UUID] = Batcher(self._record, size=64)
        # Claims under way, and of each worker the last beat at which there were none, by the record's clock.
        self._asking = 0
        self._quiet: dict[UUID, datetime] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._finishing.close()
        await self._recording.close()

    async def join(self, agents: Collection[str], *, slot: str | None, cold_start_ms: float | None = None) -> UUID:
        worker = uuid4()
        async with self._database.transaction() as connection:
            if slot is not None:
                await connection.execute(sql.BURY_SLOT, slot)
            await connection.execute(
                "INSERT INTO workers (id, slot, agents, alive_until, cold_start_ms)"
                " VALUES ($1, $2, $3, now() + make_interval(secs => $4), $5)",
                worker,
                slot,
                sorted(agents),
                ALIVE_S,
                cold_start_ms,
            )
        return worker

    async def beat(self, worker: UUID, held: Sequence[Claimed]) -> list[UUID] | None:
        quiet = self._quiet.pop(worker, None)
        ids, fences = [task.id for task in held], [task.fence for task in held]
        rows = await self._database.fetch(sql.BEAT, worker, ALIVE_S, [task.user_id for task in held], ids, fences)
        if not rows:
            return None
        if quiet is not None:
            # What it was given before then and does not hold by now, it never heard of.
            await self._database.execute(sql.FORGOTTEN, worker, quiet, ids, fences)
        if latest := quiet if self._asking else rows[0]["at"]:
            self._quiet[worker] = latest
        return [row["id"] for row in rows if row["id"]]

    async def bury(self, place: str) -> None:
        await self._database.execute(sql.BURY_PLACE, f"{place}/")

    async def leave(self, worker: UUID) -> None:
        await self._database.execute(sql.LEAVE, worker)

    async def claim(
        self, worker: UUID, agent: str, tools: Collection[str], limit: int, *, lost: bool = True
    ) -> list[Claimed]:
        with self._under_way():
            rows = await self._database.fetch(sql.CLAIM, worker, agent, list(tools), limit, lost)
            claimed = []
            for row in rows:
                try:
                    parameters = open_column(self._codec, "input_data", row["id"], row["input_data"])
                    claimed.append(_claimed(row, parameters, await self._dialogue(row)))
                except ConfigurationError:
                    # Its key is gone, or newer than this version: its neighbours in the batch can still run.
                    logger.exception("the input of task %s cannot be read", row["id"])
                    await self.finish(_claimed(row, {}), _UNREADABLE)
            return claimed

    @contextmanager
    def _under_way(self) -> Iterator[None]:
        """Until whoever asks for tasks has them, or has heard that there was no answer."""
        self._asking += 1
        try:
            yield
        finally:
            self._asking -= 1

    async def _dialogue(self, row: Any) -> Dialogue:
        if row["askable"] is None and row["dialogue"] is None:
            return SILENT
        return await questions.dialogue(self._database, self._codec, row)

    async def finish(self, task: Claimed, outcome: Outcome) -> bool:
        if outcome.asks is not None:
            return await questions.park(self._database, self._codec, task, outcome, outcome.asks)
        return await self._finishing.submit((task, outcome))

    async def _finish(self, batch: Sequence[_Finish]) -> list[bool | Exception]:
        rows = await self._database.fetch(
            sql.FINISH,
            [task.user_id for task, _ in batch],
            [task.id for task, _ in batch],
            [task.fence for task, _ in batch],
            [outcome.status for _, outcome in batch],
            [self._output(task.id, outcome) for task, outcome in batch],
            [outcome.error and outcome.error.model_dump() for _, outcome in batch],
            [outcome.retry_in_s for _, outcome in batch],
        )
        # Of ends under one fence the first counts; one under an older fence may stand beside it.
        written = {(row["id"], row["fence"]) for row in rows}
        results: list[bool | Exception] = []
        for task, _ in batch:
            results.append((task.id, task.fence) in written)
            written.discard((task.id, task.fence))
        return results

    async def status(self, task: Claimed) -> Status | None:
        query = "SELECT status FROM agent_executions WHERE user_id = $1 AND id = $2"
        status: Status | None = await self._database.fetchval(query, task.user_id, task.id)
        return status

    async def progress(self, task: Claimed, percent: float, message: str) -> None:
        await self._database.execute(
            "INSERT INTO task_progress AS p (user_id, execution_id, percent, message)"
            " SELECT $1, $2, $3, $4 FROM agent_executions"
            " WHERE user_id = $1 AND id = $2 AND fence = $5 AND status = 'running'"
            " ON CONFLICT (user_id, execution_id) DO UPDATE SET percent = $3, message = $4, at = now()",
            task.user_id,
            task.id,
            min(max(percent, 0.0), 100.0),
            message[:500],
            task.fence,
        )

    async def attach(self, worker: UUID, new: NewTask) -> Claimed:
        task_id = uuid4()
        args = (new.user_id, new.agent, new.tool, self._input(task_id, new), new.priority, new.timeout_ms, new.ttl_s)
        with self._under_way():
            row = await self._database.fetchrow(sql.ATTACH, task_id, *args, worker)
        if row is None:
            raise Unavailable("this worker was declared dead")
        return _claimed(row, dict(new.parameters))

    async def record(self, new: NewTask, outcome: Outcome, seconds: float, *, task_id: UUID | None = None) -> UUID:
        return await self._recording.submit((task_id or uuid4(), new, outcome, seconds))

    async def _record(self, batch: Sequence[_Record]) -> list[UUID | Exception]:
        await self._database.execute(
            sql.RECORD,
            [_row(*one) for one in batch],
            [self._input(task_id, new) for task_id, new, *_ in batch],
            [self._output(task_id, outcome) for task_id, _, outcome, _ in batch],
        )
        return [task_id for task_id, *_ in batch]

    def _input(self, task_id: UUID, new: NewTask) -> bytes:
        return seal_column(self._codec, "input_data", task_id, dict(new.parameters))

    def _output(self, task_id: UUID, outcome: Outcome) -> bytes | None:
        if outcome.status != "succeeded":
            return None
        return _seal(self._codec, "output_data", task_id, outcome.as_json())


def seal_column(codec: Codec, column: str, task_id: UUID, value: Json) -> bytes:
    return _seal(codec, column, task_id, strict_json.dump(value))


def _seal(codec: Codec, column: str, task_id: UUID, written: bytes) -> bytes:
    return codec.seal(written, table="agent_executions", column=column, row=task_id)


def open_column(codec: Codec, column: str, task_id: UUID, sealed: bytes) -> Any:
    return strict_json.load(codec.open(sealed, table="agent_executions", column=column, row=task_id))


def _row(task_id: UUID, new: NewTask, outcome: Outcome, seconds: float) -> dict[str, object]:
    return {
        "id": task_id.hex,
        "user_id": new.user_id.hex,
        "agent": new.agent,
        "tool": new.tool,
        "status": outcome.status,
        "error": outcome.error and outcome.error.model_dump(),
        "seconds": seconds,
    }


def _claimed(row: Any, parameters: dict[str, Json], dialogue: Dialogue = SILENT) -> Claimed:
    return Claimed(
        user_id=row["user_id"],
        id=row["id"],
        agent=row["agent_type"],
        tool=row["task_id"],
        parameters=parameters,
        timeout_ms=row["timeout_ms"],
        attempt=row["attempt"],
        max_attempts=row["max_attempts"],
        losses=row["losses"],
        fence=row["fence"],
        dialogue=dialogue,
    )
