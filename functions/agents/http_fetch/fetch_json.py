"""http-fetch/fetch_json: data."""

import asyncio

from pydantic import Field

from functions.agents.http_fetch._answers import Fetched, fetched
from functions.agents.http_fetch._page import Loader
from functions.agents.http_fetch._reading import as_json
from shared.function import Run, tool
from shared.payload import Payload
from shared.ports.egress import Egress
from shared.ports.pages import Pages


class FetchJson(Payload):
    url: str = Field(description="begins with http:// or https://")
    headers: dict[str, str] | None = Field(default=None, description="sent to this origin and to no other")


@tool(effect="network", timeout_s=30, idempotent=True)
async def fetch_json(request: FetchJson, *, run: Run, egress: Egress, pages: Pages) -> Fetched:
    """Return the JSON behind a URL, parsed and written without blanks; anything else is an error."""
    page = await Loader(egress, pages, run.user_id).load(request.url, request.headers)
    return await asyncio.to_thread(lambda: fetched(page, as_json(page)))
