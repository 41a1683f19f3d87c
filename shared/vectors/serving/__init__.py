"""The vector service: every engine and every embedder in one process, and who answers which search."""
