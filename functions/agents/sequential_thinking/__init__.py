"""sequential-thinking: problems thought through step by step, with revisions and branches that are remembered."""
