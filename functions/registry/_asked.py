"""What a caller may ask of an agent, checked against the tool's own declaration."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, JsonValue

from shared import strict_json
from shared.catalog import action
from shared.errors import Invalid, NotFound
from shared.function import Caller
from shared.identity import authorize
from shared.payload import Payload, from_body
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

    def new(self, caller: Caller, *, key: str | None, digest: bytes | None) -> NewTask:
        """Raises NotFound for no such agent or tool, Forbidden, and Invalid for what the tool does not take."""
        try:
            spec = action(self.agent_id, self.task)
        except LookupError as exc:
            raise NotFound(str(exc)) from None
        authorize(caller, spec.tool.scope)
        if spec.payload is not None:
            from_body(spec.payload, strict_json.dump(self.parameters), {})
        elif self.parameters:
            raise Invalid(f"{self.task} takes no parameters")
        return NewTask(
            user_id=caller.user_id,
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
