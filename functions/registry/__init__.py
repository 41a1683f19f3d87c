"""/api/v1/agents: which agents exist, how they fare, and asking them to work."""
