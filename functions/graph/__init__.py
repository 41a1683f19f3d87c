"""The knowledge graph, as its owner asks it."""
