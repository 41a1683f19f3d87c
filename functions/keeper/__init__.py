"""The always-on loops that make up for everything that was lost."""
