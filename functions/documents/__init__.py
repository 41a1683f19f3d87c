"""Documents: texts and files that are kept, cut into chunks, and found by what they say."""
