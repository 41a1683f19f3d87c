"""Vectors: collections, search and embedding, and the service that holds the engines."""
