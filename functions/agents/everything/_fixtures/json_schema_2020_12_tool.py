"""everything/json_schema_2020_12_tool: for the conformance suite, a schema that uses what JSON Schema has."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.content import Content, text
from shared.function import tool
from shared.payload import Payload


# The suite looks for a definition of this name.
class address(BaseModel):  # noqa: N801
    model_config = ConfigDict(json_schema_extra={"$anchor": "addressDef"})

    street: str = ""
    city: str = ""


_Address = address


class JsonSchema202012Tool(Payload):
    model_config = ConfigDict(
        json_schema_extra={
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
            "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
            "then": {"required": ["phone"]},
            "else": {"required": ["email"]},
        }
    )

    name: str = ""
    address: _Address = _Address()
    contact_method: Literal["phone", "email"] = Field(default="email", alias="contactMethod")
    phone: str = ""
    email: str = ""


@tool(effect="read", timeout_s=10)
async def json_schema_2020_12_tool(request: JsonSchema202012Tool) -> Content:
    """Tool with JSON Schema 2020-12 features."""
    return text(f"{request.name} is reached by {request.contact_method}")
