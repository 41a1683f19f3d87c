"""http-fetch: pages and data from the open internet, as HTML, Markdown, text or JSON."""
