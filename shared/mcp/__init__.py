"""Actions as MCP servers over Streamable HTTP: 2026-07-28, and the revisions with a handshake before it."""
