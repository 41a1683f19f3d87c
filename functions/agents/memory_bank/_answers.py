"""What the actions answer: one text, as the original does, and beside it what it is about."""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from shared import strict_json


class About(BaseModel):
    """Names as they are stored. `names` are those that the text lists."""

    model_config = ConfigDict(frozen=True)

    project_name: str | None = Field(default=None, serialization_alias="projectName")
    file_name: str | None = Field(default=None, serialization_alias="fileName")
    names: tuple[str, ...] | None = None


class TextContent(BaseModel):
    model_config = ConfigDict(frozen=True)

    type: Literal["text"] = "text"
    text: str
    meta: About = Field(serialization_alias="_meta")


class Content(BaseModel):
    model_config = ConfigDict(frozen=True)

    content: list[TextContent]


def about_file(text: str, project: str, file: str) -> Content:
    return Content(content=[TextContent(text=text, meta=About(project_name=project, file_name=file))])


def listed(names: Sequence[str], project: str | None = None) -> Content:
    """A JSON array of names."""
    meta = About(project_name=project, names=tuple(names))
    return Content(content=[TextContent(text=strict_json.dump(list(names)).decode(), meta=meta)])
