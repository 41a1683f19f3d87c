"""What the API answers, as far as the UI reads it."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue

Status = Literal["queued", "running", "succeeded", "failed", "cancelled", "expired"]
STATUSES: tuple[Status, ...] = ("queued", "running", "succeeded", "failed", "cancelled", "expired")
TERMINAL: frozenset[str] = frozenset({"succeeded", "failed", "cancelled", "expired"})


class Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Token(Answer):
    access_token: str
    expires_in: int


class Code(Answer):
    code: str


class User(Answer):
    username: str


class AgentHealth(Answer):
    active_tasks: int = 0
    queued_tasks: int = 0


class Agent(Answer):
    id: str
    name: str
    description: str = ""
    status: str
    tools: list[str] = []
    health: AgentHealth = AgentHealth()


class AgentList(Answer):
    agents: list[Agent]


class Tool(Answer):
    name: str
    title: str
    description: str = ""
    effect: str
    destructive: bool = False
    timeout_ms: int = 30_000
    input_schema: dict[str, JsonValue] = {}


class AgentWithTools(Answer):
    agent: Agent
    tools: list[Tool]


class Accepted(Answer):
    task_id: str


class TaskError(Answer):
    code: str
    message: str
    retryable: bool = False


class TaskEvent(Answer):
    type: str
    sequence: int
    at: datetime


class Task(Answer):
    """`timeout` and `execution_time` in ms."""

    task_id: str
    agent_id: str
    task: str
    status: Status
    priority: int = 4
    timeout: int = 30_000
    parameters: dict[str, JsonValue] = {}
    result: JsonValue = None
    error: TaskError | None = None
    progress: float = 0.0
    message: str = ""
    attempts: int = 0
    max_attempts: int = 1
    losses: int = 0
    retry_of: str | None = None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    expires_at: datetime
    execution_time: float | None = None
    events: list[TaskEvent] = []

    @property
    def has_ended(self) -> bool:
        return self.status in TERMINAL


class TaskList(Answer):
    tasks: list[Task]
    next_cursor: str | None = None


class Part(Answer):
    status: str
    detail: str = ""


class Health(Answer):
    status: str
    version: str
    services: dict[str, Part]
