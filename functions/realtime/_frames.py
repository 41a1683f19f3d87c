"""What clients send over a socket, and what they are sent: the same to many, so it is written once."""

from functools import lru_cache
from typing import Annotated, Literal

from pydantic import Field, JsonValue, TypeAdapter, ValidationError

from shared import strict_json
from shared.errors import Invalid, SutazaiError
from shared.payload import Payload, invalid
from shared.ports.live import AgentChange, TaskChange
from shared.strict_json import Json

Channel = Literal["agent_updates", "task_status", "notifications"]
Channels = Annotated[list[Channel], Field(min_length=1, max_length=16)]
RequestId = Annotated[str, Field(min_length=1, max_length=128)]


class Auth(Payload):
    type: Literal["auth"]
    token: str = Field(min_length=1, max_length=4096)


class Subscribe(Payload):
    """`last_seq`: of the last change that the client has; those after it come first."""

    type: Literal["subscribe"]
    channels: Channels
    last_seq: int | None = Field(default=None, ge=0, lt=1 << 63)
    request_id: RequestId | None = None


class Unsubscribe(Payload):
    type: Literal["unsubscribe"]
    channels: Channels
    request_id: RequestId | None = None


class Command(Payload):
    """`idempotency_key`: as the header of that name."""

    type: Literal["execute"]
    command: Literal["agent.status", "agent.execute", "task.cancel", "task.get"]
    parameters: dict[str, JsonValue] = {}
    request_id: RequestId
    idempotency_key: str | None = Field(default=None, pattern=r"^[!-~]{1,128}$")


class Ping(Payload):
    type: Literal["ping"]


Frame = Auth | Subscribe | Unsubscribe | Command | Ping
_FRAME: TypeAdapter[Frame] = TypeAdapter(Annotated[Frame, Field(discriminator="type")])


class BadFrame(Exception):
    """`answer` is what its sender is told."""

    def __init__(self, answer: str) -> None:
        super().__init__(answer)
        self.answer = answer


def frame_of(text: str) -> Frame:
    """Raises BadFrame."""
    request_id = None
    try:
        raw = text.encode()
        parsed = strict_json.parse(raw)
        if isinstance(parsed, dict) and isinstance(parsed.get("request_id"), str):
            request_id = str(parsed["request_id"])[:128]
        return _FRAME.validate_json(raw)
    except ValidationError as error:
        raise BadFrame(error_frame(invalid(error), request_id)) from None
    except Invalid as error:
        raise BadFrame(error_frame(error, request_id)) from None


def error_frame(error: SutazaiError, request_id: str | None = None) -> str:
    frame = {"type": "error", "code": error.code, "message": error.message, **_details(error)}
    return dumped({**frame, **({} if request_id is None else {"request_id": request_id})})


def result_frame(request_id: str, data: bytes) -> str:
    head = dumped({"type": "command_result", "request_id": request_id, "success": True})
    return f'{head[:-1]},"data":{data.decode()}}}'


def failure_frame(request_id: str, error: SutazaiError) -> str:
    told: Json = {"code": error.code, "message": error.message, **_details(error)}
    frame: Json = {"type": "command_result", "request_id": request_id, "success": False, "data": None, "error": told}
    return dumped(frame)


@lru_cache(maxsize=64)
def task_frame(change: TaskChange) -> str:
    """`seq` is null in what only tells of progress: it counts changes of state."""
    return dumped(
        {
            "type": "task_progress",
            "task_id": str(change.task_id),
            "progress": round(change.progress, 1),
            "status": change.status,
            "message": change.message,
            "seq": change.seq,
        }
    )


@lru_cache(maxsize=256)
def agent_frame(change: AgentChange) -> str:
    return dumped(
        {
            "type": "agent_update",
            "agent_id": change.agent_id,
            "status": change.status,
            "current_task": None if change.current_task is None else str(change.current_task),
            "timestamp": change.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
    )


def dumped(frame: Json) -> str:
    return strict_json.dump(frame).decode()


def _details(error: SutazaiError) -> dict[str, Json]:
    """Only where there are any."""
    details = {key: value for key, value in error.details.items() if value is not None}
    return {"details": details} if details else {}  # type: ignore[dict-item]
