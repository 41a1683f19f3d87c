"""GET /api/v1/docs: the description of this API, for people."""

from functools import cache

from shared.catalog import all_functions
from shared.function import Page, http
from shared.manifests.docs_page import docs_page
from shared.manifests.openapi import openapi
from shared.version import VERSION


@http("GET", "/api/v1/docs", scope=None, limited=False)
async def show_docs() -> Page:
    """One page of HTML, without scripts."""
    return _page()


@cache
def _page() -> Page:
    return Page(body=docs_page(openapi(all_functions(), version=VERSION)))
