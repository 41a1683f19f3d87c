"""Neo4j, through its own driver."""
