"""everything/static-document: short texts on how this server is made, listed one by one."""

from functions.agents.everything._documents import DOCUMENTS
from shared.errors import NotFound
from shared.function import resource
from shared.payload import Payload


class StaticDocument(Payload):
    name: str


@resource(
    "demo://resource/static/document/{name}",
    title="Document",
    mime_type="text/markdown",
    ttl_s=3600,
    public=True,
    listed=tuple(DOCUMENTS),
)
async def static_document(request: StaticDocument) -> str:
    """A text in Markdown that is the same for everybody."""
    if (found := DOCUMENTS.get(request.name)) is None:
        raise NotFound(f"no document {request.name!r}")
    return found
