"""What an action may ask its client, as MCP words it, and what is in the answers."""

from collections.abc import Mapping, Sequence

from shared.strict_json import Json

ROOTS: Json = {"method": "roots/list", "params": {}}


def form(message: str, fields: Mapping[str, Json], *, required: Sequence[str] = ()) -> Json:
    """For a person to fill in; each field is a JSON Schema of text, a number, a boolean or a choice."""
    schema: dict[str, Json] = {"type": "object", "properties": dict(fields)}
    if required:
        schema["required"] = [*required]
    return {"method": "elicitation/create", "params": {"message": message, "requestedSchema": schema}}


def sampling(text: str, *, max_tokens: int, system: str | None = None) -> Json:
    """For the client's model to go on from."""
    message: Json = {"role": "user", "content": {"type": "text", "text": text}}
    params: dict[str, Json] = {"messages": [message], "maxTokens": max_tokens}
    if system is not None:
        params["systemPrompt"] = system
    return {"method": "sampling/createMessage", "params": params}


def filled_in(answer: Json) -> dict[str, Json] | None:
    """What a person put into a form; None where they would not."""
    if not isinstance(answer, dict) or answer.get("action") != "accept":
        return None
    content = answer.get("content")
    return content if isinstance(content, dict) else {}


def said(answer: Json) -> str:
    """The text that a model answered; other kinds of content are passed over."""
    content = answer.get("content") if isinstance(answer, dict) else None
    blocks = content if isinstance(content, list) else [content]
    return "".join(str(block["text"]) for block in blocks if isinstance(block, dict) and block.get("type") == "text")


def roots_of(answer: Json) -> list[tuple[str, str]]:
    """Name and URI of each; a root without a name goes by its URI."""
    listed = answer.get("roots") if isinstance(answer, dict) else None
    found = [root for root in listed if isinstance(root, dict)] if isinstance(listed, list) else []
    return [(str(root.get("name") or root["uri"]), str(root["uri"])) for root in found]
