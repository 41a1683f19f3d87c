"""extended-memory: what sessions leave for later ones, by project, importance and tags."""
