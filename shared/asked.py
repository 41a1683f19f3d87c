"""What may be asked of an agent, checked against the tool's own declaration."""

from collections.abc import Collection, Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, JsonValue

from shared import strict_json
from shared.catalog import action
from shared.errors import Forbidden, Invalid, NotFound
from shared.payload import Payload, from_body
from shared.strict_json import Json

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
Name = Annotated[str, Field(max_length=64)]
TimeoutMs = Annotated[int, Field(ge=1, le=570_000)]


class Asked(Payload):
    """`timeout` is in ms and bounds the run."""

    agent_id: Name
    task: Name
    parameters: dict[str, JsonValue] = {}
    timeout: TimeoutMs = 30_000
    priority: Priority = 4


def check_asked(agent: str, tool: str, parameters: Mapping[str, Json], *, scopes: Collection[str]) -> None:
    """Raises NotFound for no such agent or tool, Forbidden without the tool's scope, Invalid for its parameters."""
    try:
        spec = action(agent, tool)
    except LookupError as exc:
        raise NotFound(str(exc)) from None
    if spec.tool.scope not in scopes:
        raise Forbidden(f"this needs the scope {spec.tool.scope!r}", scope=spec.tool.scope)
    if spec.payload is not None:
        from_body(spec.payload, strict_json.dump(dict(parameters)), {})
    elif parameters:
        raise Invalid(f"{tool} takes no parameters")
