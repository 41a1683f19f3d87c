"""GET /api/v1/openapi.json: the description of this API."""

from functools import cache

from shared.catalog import all_functions
from shared.function import http
from shared.manifests.openapi import Document, openapi
from shared.version import VERSION


@http("GET", "/api/v1/openapi.json", scope=None, envelope=False, limited=False)
async def get_openapi() -> Document:
    """OpenAPI 3.1, out of the declarations."""
    return _document()


@cache
def _document() -> Document:
    return openapi(all_functions(), version=VERSION)
