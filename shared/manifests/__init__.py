"""What follows from the declarations: pure functions that return dicts."""
