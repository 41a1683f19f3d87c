"""everything/gzip-file-as-resource: a file, compressed, as a resource or a link to one."""

import asyncio
import base64
import gzip
from typing import Literal
from urllib.parse import quote

from pydantic import Field

from functions.agents.everything._data_url import decoded
from shared.content import BlobResource, Content, EmbeddedResource, ResourceLink
from shared.errors import ToolError
from shared.function import MIB, tool
from shared.payload import Payload
from shared.ports.egress import Egress

# Compressed, the worst input grows by 1 in 3,000, and base64 adds a third: the answer stays below 10 MiB.
_INPUT_BYTES = 5 * MIB
_MIME_TYPE = "application/gzip"
_EXAMPLE = "data:text/plain,A%20file%20to%20compress%0A"


class GzipFileAsResource(Payload):
    name: str = Field(default="README.md.gz", min_length=1, max_length=255)
    data: str = Field(default=_EXAMPLE, description="a data: URL, or an http(s) URL that may be reached")
    output_type: Literal["resourceLink", "resource"] = Field(default="resourceLink", alias="outputType")


@tool(name="gzip-file-as-resource", effect="network", timeout_s=30, idempotent=True)
async def gzip_file_as_resource(request: GzipFileAsResource, *, egress: Egress) -> Content:
    """Compress what a URL leads to; a link carries the result as a data: URL, since nothing is stored."""
    content = await _content(request.data, egress)
    # No time of making: the same input gives the same bytes.
    packed = await asyncio.to_thread(gzip.compress, content, 6, mtime=0)
    blob = base64.b64encode(packed).decode()
    if request.output_type == "resource":
        uri = f"demo://resource/session/{quote(request.name, safe='')}"
        return Content(content=[EmbeddedResource(resource=BlobResource(uri=uri, mime_type=_MIME_TYPE, blob=blob))])
    uri = f"data:{_MIME_TYPE};base64,{blob}"
    return Content(content=[ResourceLink(uri=uri, name=request.name, mime_type=_MIME_TYPE, size_bytes=len(packed))])


async def _content(url: str, egress: Egress) -> bytes:
    if url[:5].lower() == "data:":
        content = decoded(url)
    else:
        answer = await egress.request("GET", url, headers={}, timeout_s=15)
        if answer.status != 200:
            raise ToolError(f"the URL answered {answer.status}, not 200; give one that leads to a file")
        content = answer.body
    if len(content) > _INPUT_BYTES:
        raise ToolError(f"the file is larger than {_INPUT_BYTES} bytes")
    return content
