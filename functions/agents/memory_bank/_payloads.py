"""What most actions are asked with."""

from pydantic import Field

from shared.payload import Payload

# As large as a text in a request may be.
MAX_CONTENT_BYTES = 256 * 1024


class InProject(Payload):
    project_name: str = Field(alias="projectName", description="the name of the project")


class OneFile(InProject):
    file_name: str = Field(alias="fileName", description="the name of the file, such as activeContext.md")


class WholeFile(OneFile):
    content: str = Field(min_length=1, max_length=MAX_CONTENT_BYTES, description="the whole of the file")
