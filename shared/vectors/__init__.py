"""What all vector engines share: filters, scores, and the way from the record into an engine."""
