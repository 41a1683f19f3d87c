"""What a caller may ask of an agent, checked against the tool's own declaration."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BeforeValidator, Field, JsonValue, ValidationError

from shared import strict_json
from shared.catalog import action
from shared.errors import Invalid, NotFound
from shared.payload import Payload, invalid
from shared.ports.tasks import NewTask

_PRIORITIES = {"low": 1, "normal": 4, "high": 7, "urgent": 9}


def _number(value: object) -> object:
    return _PRIORITIES.get(value, value) if isinstance(value, str) else value


Priority = Annotated[
    int,
    Field(ge=0, le=9),
    BeforeValidator(
        _number, json_schema_input_type=Annotated[int, Field(ge=0, le=9)] | Literal["low", "normal", "high", "urgent"]
    ),
]


class AskedTask(Payload):
    """`timeout` is in ms and bounds the run, `ttl_s` the wait for it to start."""

    agent_id: str = Field(max_length=64)
    task: str = Field(max_length=64)
    parameters: dict[str, JsonValue] = {}
    timeout: int = Field(default=30_000, ge=1, le=570_000)
    priority: Priority = 4
    ttl_s: float = Field(default=3600, gt=0, le=30 * 86_400)

    def new(self, user_id: UUID, *, key: str | None, digest: bytes | None) -> NewTask:
        """Raises NotFound for an agent or tool that is none, and Invalid for parameters that the tool does not take."""
        try:
            spec = action(self.agent_id, self.task)
        except LookupError as exc:
            raise NotFound(str(exc)) from None
        try:
            if spec.payload is not None:
                spec.payload.model_validate_json(strict_json.dump(self.parameters))
            elif self.parameters:
                raise Invalid(f"{self.task} takes no parameters")
        except ValidationError as error:
            raise invalid(error) from None
        return NewTask(
            user_id=user_id,
            agent=self.agent_id,
            tool=self.task,
            parameters=self.parameters,
            priority=self.priority,
            timeout_ms=self.timeout,
            ttl_s=self.ttl_s,
            key=key,
            digest=digest,
        )


class AskedTasks(Payload):
    tasks: list[AskedTask] = Field(min_length=1, max_length=100)


class AskedWaiting(AskedTask):
    """`wait`: the answer is the ended task, if it ends within 60 s and the timeout."""

    wait: bool = False
