"""everything/test_x_mcp_header: for the conformance suite, parameters that headers repeat."""

from pydantic import Field

from shared.content import Content, text
from shared.function import tool
from shared.payload import Payload


class TestXMcpHeader(Payload):
    region: str = Field(json_schema_extra={"x-mcp-header": "Region"})
    count: int = Field(default=1, json_schema_extra={"x-mcp-header": "Count"})
    dry_run: bool = Field(default=False, json_schema_extra={"x-mcp-header": "Dry-Run"})


@tool(effect="read", timeout_s=10)
async def test_x_mcp_header(request: TestXMcpHeader) -> Content:
    """Say where it would have run."""
    return text(f"{request.region}, {request.count} times{', dry' if request.dry_run else ''}")
