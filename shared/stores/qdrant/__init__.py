"""Vectors in Qdrant: in this process, or on a server."""
