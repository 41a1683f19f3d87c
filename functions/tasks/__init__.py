"""/api/v1/tasks: what was asked of agents and what came of it."""
