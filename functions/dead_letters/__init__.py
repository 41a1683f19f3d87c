"""/api/v1/dead-letters: what was refused for good, and another chance for it."""
