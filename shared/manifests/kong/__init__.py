"""What Kong is given: every public route, as a declarative file that needs no database."""
