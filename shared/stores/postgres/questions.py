"""What tasks ask their clients, as rows beside them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from shared import strict_json
from shared.crypto import Codec
from shared.dialogue import Dialogue, Questions
from shared.errors import NotFound
from shared.ports.tasks import Claimed, Outcome
from shared.stores.postgres import questions_sql as sql
from shared.stores.postgres.database import Database
from shared.stores.postgres.outbox import record_act
from shared.strict_json import Json


async def park(database: Database, codec: Codec, task: Claimed, outcome: Outcome, questions: Questions) -> bool:
    """False when the fence has moved on: then nothing was written."""
    keys = list(questions.requests)
    rows = await database.fetch(
        sql.PARK,
        task.user_id,
        task.id,
        task.fence,
        sealed_dialogue(codec, task.id, replace(task.dialogue, state=questions.state)),
        keys,
        [_sealed(codec, "request", task.id, questions.requests[key]) for key in keys],
        outcome.error and outcome.error.model_dump(),
    )
    return bool(rows)


async def dialogue(database: Database, codec: Codec, row: Any) -> Dialogue:
    """Of a claimed task."""
    answers: dict[str, Json] = {}
    state: Json = None
    if row["dialogue"] is not None:
        said = _load(codec.open(row["dialogue"], table="agent_executions", column="dialogue", row=row["id"]))
        answers, state = said["answers"], said["state"]
    if row["asked"]:
        for one in await database.fetch(sql.ANSWERS, row["user_id"], row["id"]):
            answers[one["key"]] = _opened(codec, "answer", row["id"], one["answer"])
    return Dialogue(frozenset(row["askable"] or ()), answers, state)


def sealed_dialogue(codec: Codec, task_id: UUID, dialogue: Dialogue) -> bytes | None:
    """None where nothing has been said."""
    if not dialogue.answers and dialogue.state is None:
        return None
    said = strict_json.dump({"answers": dict(dialogue.answers), "state": dialogue.state})
    return codec.seal(said, table="agent_executions", column="dialogue", row=task_id)


async def open_questions(database: Database, codec: Codec, user_id: UUID, task_id: UUID) -> dict[str, Json]:
    rows = await database.fetch(sql.OPEN_QUESTIONS, user_id, task_id)
    return {row["key"]: _opened(codec, "request", task_id, row["request"]) for row in rows}


async def answer(
    database: Database, codec: Codec, user_id: UUID, task_id: UUID, answers: Mapping[str, Json]
) -> tuple[frozenset[str], tuple[str, int] | None]:
    """The keys that were open, and agent and priority of the task where it goes on. Raises NotFound."""
    async with database.transaction() as connection:
        status = await connection.fetchval(sql.LOCK, user_id, task_id)
        if status is None:
            raise NotFound(f"no task {task_id!s}")
        if status != "queued":
            return frozenset(), None
        sealed = [_sealed(codec, "answer", task_id, said) for said in answers.values()]
        taken = await connection.fetch(sql.ANSWER, user_id, task_id, list(answers), sealed)
        if not taken:
            return frozenset(), None
        await record_act(connection, actor=user_id, action="task.answer", on=str(task_id))
        row = await connection.fetchrow(sql.GO_ON, user_id, task_id)
    return frozenset(one["key"] for one in taken), None if row is None else (row["agent_type"], row["priority"])


def _sealed(codec: Codec, column: str, task_id: UUID, value: Json) -> bytes:
    return codec.seal(strict_json.dump(value), table="task_questions", column=column, row=task_id)


def _opened(codec: Codec, column: str, task_id: UUID, sealed: bytes) -> Any:
    return _load(codec.open(sealed, table="task_questions", column=column, row=task_id))


def _load(written: bytes) -> Any:
    return strict_json.load(written)
