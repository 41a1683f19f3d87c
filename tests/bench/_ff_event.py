"""A consumer of an event, for functions-framework: its data is validated, as ours is."""

from typing import Any, ClassVar
from uuid import UUID

import functions_framework.aio
from pydantic import BaseModel


class TaskSucceeded(BaseModel):
    type: ClassVar[str] = "task.succeeded.v1"
    task_id: UUID
    agent: str
    tool: str


@functions_framework.aio.cloud_event
async def hear(event: Any) -> None:
    assert TaskSucceeded.model_validate(event.data).agent
