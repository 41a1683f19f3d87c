"""The knowledge graph: what it is made of, how it follows the record, and what is asked of it."""
