"""What the actions answer: a text for models, and beside it what a program goes on with."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Facts(BaseModel):
    """`context_ids` in the order of the text. With `next_offset` there is more to be loaded."""

    model_config = ConfigDict(frozen=True)

    project_id: str = Field(serialization_alias="projectId")
    context_ids: tuple[int, ...] = Field(serialization_alias="contextIds")
    total: int | None = None
    next_offset: int | None = Field(default=None, serialization_alias="nextOffset")


class TextContent(BaseModel):
    model_config = ConfigDict(frozen=True)

    type: Literal["text"] = "text"
    text: str
    meta: Facts | None = Field(default=None, serialization_alias="_meta")


class Content(BaseModel):
    model_config = ConfigDict(frozen=True)

    content: list[TextContent]


def text(lines: list[str], facts: Facts | None = None) -> Content:
    return Content(content=[TextContent(text="\n".join(lines), meta=facts)])


def shown(time: datetime) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC")
