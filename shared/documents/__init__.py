"""From a file to what can be found of it: reading, cutting into chunks, indexing, and removing."""
