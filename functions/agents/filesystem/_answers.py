"""What the actions answer, and how bytes become text."""

from pydantic import BaseModel, ConfigDict

from shared.errors import ToolError

MAX_TEXT_BYTES = 5 << 20


class Text(BaseModel):
    """An answer that is one text."""

    model_config = ConfigDict(frozen=True)

    content: str


def text_of(content: bytes, path: str) -> str:
    """The content as text, what is not UTF-8 replaced; raises ToolError where it is none at all."""
    if b"\0" in content:
        raise ToolError(f"{path!r} is not text; read it with read_media_file")
    return content.decode("utf-8", errors="replace")
