"""The whole platform for Docker Compose: the stores, Kong, and functions in containers of their own or together."""
