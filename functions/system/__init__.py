"""Health, info, and the description of the API itself."""
