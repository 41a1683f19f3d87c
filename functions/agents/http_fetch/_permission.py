"""Whether a page's owner lets automatic readers in: asked for what a model opens by itself."""

import asyncio
import re

from functions.agents.http_fetch._page import Loader
from shared.errors import ToolError, Unavailable
from shared.hypertext.charset import decoded

_OUR_NAME = "SutazAI"
_KEPT_S = 900.0
# As the standard has it (RFC 9309); nobody needs more.
_MOST_CHARACTERS = 500 * 1024
_INSTEAD = "ask the person to open the page, or use another source"
_ORIGIN = re.compile(r"https?://[^/?#]+", re.IGNORECASE | re.ASCII)


async def check_permission(url: str, loader: Loader) -> None:
    """Raises ToolError where robots.txt forbids it, Unavailable where that cannot be read now."""
    found = _ORIGIN.match(url)
    if found is None:
        # No URL at all: the request itself is refused, and says why.
        return
    origin = found[0]
    robots = await loader.answer(f"{origin}/robots.txt", unsaid_s=_KEPT_S)
    if robots.status in (401, 403):
        raise ToolError(f"{origin} does not let automatic readers in; {_INSTEAD}")
    if robots.status >= 500 or robots.status == 429:
        raise Unavailable(f"{origin}/robots.txt answered {robots.status}, so nothing there may be read now")
    if not 200 <= robots.status < 300:
        return
    text, _ = decoded(robots.body, robots.content_type)
    if not await asyncio.to_thread(_allows, text[:_MOST_CHARACTERS], url):
        raise ToolError(f"the robots.txt of {origin} keeps automatic readers out of {url[:500]!r}; {_INSTEAD}")


def _allows(rules: str, url: str) -> bool:
    from protego import Protego

    return Protego.parse(rules).can_fetch(url, _OUR_NAME)
