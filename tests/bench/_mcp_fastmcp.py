"""FastMCP's server, bare: stateless, JSON answers."""

from fastmcp import FastMCP

server: FastMCP[None] = FastMCP("everything")


@server.tool(output_schema=None)
async def echo(message: str) -> str:
    """Return the message, to see that calls arrive and answers come back."""
    return f"Echo: {message}"


app = server.http_app(path="/mcp/everything", json_response=True, stateless_http=True)
