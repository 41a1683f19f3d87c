"""/mcp: all agents, and the servers outside that were let in, as one MCP server."""
