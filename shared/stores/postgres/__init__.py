"""PostgreSQL, the record."""
