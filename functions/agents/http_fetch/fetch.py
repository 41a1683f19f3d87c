"""http-fetch/fetch: a page in parts, for a model that follows links by itself."""

import asyncio

from pydantic import Field

from functions.agents.http_fetch._answers import Fetched, fetched
from functions.agents.http_fetch._page import Loader, Page
from functions.agents.http_fetch._permission import check_permission
from functions.agents.http_fetch._reading import Read, as_article, as_it_is, is_html
from shared.function import Run, tool
from shared.payload import Payload
from shared.ports.egress import Egress
from shared.ports.pages import Pages


class Fetch(Payload):
    url: str = Field(description="begins with http:// or https://", json_schema_extra={"format": "uri"})
    max_length: int = Field(default=5000, ge=1, le=999_999, description="how many characters to return")
    start_index: int = Field(default=0, ge=0, description="where to go on, when a part was returned before")
    raw: bool = Field(default=False, description="the HTML as it is, instead of Markdown")


@tool(effect="network", timeout_s=50, idempotent=True)
async def fetch(request: Fetch, *, run: Run, egress: Egress, pages: Pages) -> Fetched:
    """Return a part of a page as Markdown, without navigation, and where to go on; respects robots.txt."""
    loader = Loader(egress, pages, run.user_id)
    await check_permission(request.url, loader)
    page = await loader.load(request.url, None)
    if page.url != request.url:
        await check_permission(page.url, loader)
    read = await asyncio.to_thread(as_it_is if request.raw else as_article, page)
    shown, next_start_index = _part(request, page, read)
    return fetched(page, read, shown, next_start_index=next_start_index)


def _part(request: Fetch, page: Page, read: Read) -> tuple[str, int | None]:
    begin, total = request.start_index, len(read.text)
    if begin >= total:
        return f"Contents of {page.url}:\n[No more content: the text has {total} characters.]", None
    end = min(begin + request.max_length, total)
    note = "" if request.raw or is_html(page) else f"(This is {page.content_type or 'text'}, shown as it is.)\n"
    text = f"{note}Contents of {page.url}:\n{read.text[begin:end]}"
    if end == total:
        return text, None
    more = f"characters {begin} to {end} of {total} are shown; call fetch with start_index={end} to read on"
    return f"{text}\n\n[Content truncated: {more}.]", end
