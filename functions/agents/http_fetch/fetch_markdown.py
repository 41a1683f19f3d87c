"""http-fetch/fetch_markdown: a page as Markdown."""

import asyncio

from pydantic import Field

from functions.agents.http_fetch._answers import Fetched, fetched
from functions.agents.http_fetch._page import Loader
from functions.agents.http_fetch._reading import as_markdown
from shared.function import Run, tool
from shared.payload import Payload
from shared.ports.egress import Egress
from shared.ports.pages import Pages


class FetchMarkdown(Payload):
    url: str = Field(description="begins with http:// or https://")
    headers: dict[str, str] | None = Field(default=None, description="sent to this origin and to no other")


@tool(effect="network", timeout_s=30, idempotent=True)
async def fetch_markdown(request: FetchMarkdown, *, run: Run, egress: Egress, pages: Pages) -> Fetched:
    """Return a page as Markdown, with absolute links; no scripts, nothing that is hidden."""
    page = await Loader(egress, pages, run.user_id).load(request.url, request.headers)
    return await asyncio.to_thread(lambda: fetched(page, as_markdown(page)))
