"""All agents and the servers outside behind one endpoint: registry, orchestrator, scheduler, health and metrics."""
