"""MCP servers outside the platform, whose tools join the bridge once an operator has looked at them."""
