"""Embedders: models in this process, and models behind somebody's API."""
