"""One package per agent, one module per action."""
