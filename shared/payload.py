"""What callers send and functions return, as models; imported only where a function has one, for its 60 ms."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, InstanceOf, TypeAdapter, ValidationError, WithJsonSchema

from shared import strict_json
from shared.errors import Invalid


class Payload(BaseModel):
    """Base of what callers send: nothing unknown, nothing converted behind their back."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True)


@dataclass(frozen=True, slots=True)
class Upload:
    """A file out of a form, as its sender calls it."""

    file_name: str
    content_type: str
    content: bytes = field(repr=False)


File = Annotated[InstanceOf[Upload], WithJsonSchema({"type": "string", "format": "binary"})]


def from_texts(model: type[BaseModel], values: Mapping[str, str]) -> BaseModel:
    """Out of path and query, where everything is text. Raises Invalid."""
    try:
        return model.model_validate_strings(dict(values), strict=False)
    except ValidationError as error:
        raise invalid(error) from None


def from_body(
    model: type[BaseModel], body: bytes, path: Mapping[str, str], *, string_bytes: int = strict_json.STRING_BYTES
) -> BaseModel:
    """Out of a body and the path, which must not overlap. Raises Invalid."""
    parsed = strict_json.parse(body, string_bytes=string_bytes) if body else {}
    if not isinstance(parsed, dict):
        raise Invalid("the body is not a JSON object")
    if twice := path.keys() & parsed.keys():
        raise Invalid(f"{sorted(twice)} belong into the path only")
    try:
        # Only the JSON mode of strict models takes text for an UUID or a time and nothing else for the rest.
        return model.model_validate_json(strict_json.dump({**parsed, **path}) if path or not body else body)
    except ValidationError as error:
        raise invalid(error) from None


def writer(result: Any) -> Callable[[Any], bytes]:
    """Turns results of a declared type into JSON."""
    adapter: TypeAdapter[Any] = TypeAdapter(result)
    return lambda value: adapter.dump_json(value, by_alias=True)


def invalid(error: ValidationError) -> Invalid:
    """Where and why, never the value."""
    places = [
        {"field": ".".join(map(str, item["loc"])), "message": item["msg"]}
        for item in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    return Invalid("the request is not as declared", fields=places)
