"""Our agents beside the public servers they stand for: the same calls, and what they meant."""
