"""everything/template_data: for the conformance suite, a template of resources."""

from shared.function import resource
from shared.payload import Payload
from shared.strict_json import dump


class TemplateData(Payload):
    id: str


@resource("test://template/{id}/data", mime_type="application/json")
async def template_data(request: TemplateData) -> str:
    """Data under a name."""
    return dump({"id": request.id, "templateTest": True, "data": f"Data for ID: {request.id}"}).decode()
