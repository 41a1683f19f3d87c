"""What functions need, in our terms: one Protocol and its small models per subject."""
