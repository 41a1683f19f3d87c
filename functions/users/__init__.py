"""/api/v1/users: profiles, and their administration."""
