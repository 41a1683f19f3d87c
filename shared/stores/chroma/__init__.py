"""Vectors in Chroma: in this process, or on a server."""
