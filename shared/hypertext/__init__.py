"""HTML of strangers, read as browsers do: tokens, what a person would see of them, and that as Markdown."""
