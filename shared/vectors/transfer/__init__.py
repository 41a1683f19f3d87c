"""Collections in and out of files, through the public API: `python -m functions vectors import | export`."""
