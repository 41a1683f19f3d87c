"""everything/simple-prompt: a prompt without arguments."""

from shared.function import prompt


@prompt(name="simple-prompt")
async def simple_prompt() -> str:
    """Start a conversation, to see that prompts arrive."""
    return "This is a simple prompt without arguments."
