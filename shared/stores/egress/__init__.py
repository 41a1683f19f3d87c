"""The gate that every request to the outside passes: what is checked is what is connected to."""
