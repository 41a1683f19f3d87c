"""/api/v1/auth: registering, logging in, sessions."""
