"""Embedders: models in this process."""
