"""memory: a knowledge graph of the user's own, of entities, what is known about them, and how they relate."""
