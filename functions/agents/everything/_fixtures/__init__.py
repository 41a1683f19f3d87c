"""Tools, resources and prompts that the official conformance suite asks of a server."""
