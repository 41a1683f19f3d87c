"""The declaration, its server, the ports and their adapters."""
