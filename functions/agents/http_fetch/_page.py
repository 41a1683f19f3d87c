"""One page through the gate, or from what was kept of it."""

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from uuid import UUID

from functions.agents.http_fetch._freshness import lifetime_s, validators
from functions.agents.http_fetch._headers import asks_origin, chosen
from shared.errors import ToolError
from shared.ports.egress import MOST_REDIRECTS, Egress, Response
from shared.ports.pages import KeptPage, Pages

_REQUEST_S = 15.0
# So long after it has become stale a page can still be shown when its origin says that it holds.
_STALE_S = 1800.0
_HINTS = {
    401: "it wants credentials, which can be given in `headers`",
    403: "it does not let us in; credentials can be given in `headers`, or use another source",
    404: "check the spelling of the URL",
    410: "it is gone for good; use another source",
    429: "it has been asked too often; try again later",
    503: "it cannot answer now; try again later",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """`content_type` is as the origin wrote it, empty where it wrote none."""

    url: str
    status: int
    content_type: str
    body: bytes
    fetched_at: datetime
    from_cache: bool


@dataclass(frozen=True, slots=True)
class Loader:
    """For one user: nobody sees what was fetched for somebody else."""

    egress: Egress
    pages: Pages
    user_id: UUID

    async def load(self, url: str, headers: dict[str, str] | None) -> Page:
        """Raises ToolError for any status but success."""
        page = await self.answer(url, headers)
        if not 200 <= page.status < 300:
            raise ToolError(f"{page.url!r} answered {_said(page.status)}: {_hint(page.status)}")
        return page

    async def answer(self, url: str, headers: dict[str, str] | None = None, *, unsaid_s: float = 0.0) -> Page:
        """Whatever its status is. `unsaid_s`: how long an answer is kept that says nothing about it, errors too."""
        sent = chosen(headers)
        request = json.dumps([url.partition("#")[0], sorted(sent.items())])
        kept = None if asks_origin(sent) else await self.pages.get(self.user_id, request)
        now = time.time()
        if kept is not None and now < kept.fresh_until:
            return _page(kept, from_cache=True)
        asked = sent if kept is None else {**sent, **validators(kept.headers)}
        response = await self.egress.request("GET", url, headers=asked, timeout_s=_REQUEST_S, redirects=MOST_REDIRECTS)
        held = kept is not None and response.status == HTTPStatus.NOT_MODIFIED
        page = _refreshed(kept, response, now) if kept is not None and held else _answered(response, now)
        if not asks_origin(sent):
            await self._keep(request, page, redirected=response.redirects > 0, unsaid_s=unsaid_s, now=now)
        return _page(page, from_cache=held)

    async def _keep(self, request: str, page: KeptPage, *, redirected: bool, unsaid_s: float, now: float) -> None:
        # Where a redirect led may be elsewhere the next time.
        lasting = page.status == HTTPStatus.OK and not redirected
        lifetime = lifetime_s(page.headers, now=now, unsaid_s=unsaid_s)
        if lifetime is None or not (lasting or (unsaid_s and page.status < 500)):
            return
        kept = KeptPage(
            url=page.url,
            status=page.status,
            headers=page.headers,
            body=page.body,
            fetched_at=page.fetched_at,
            fresh_until=now + lifetime,
        )
        ttl_s = lifetime + (_STALE_S if validators(page.headers) else 0)
        await self.pages.keep(self.user_id, request, kept, ttl_s=ttl_s)


def _answered(response: Response, now: float) -> KeptPage:
    return KeptPage(
        url=response.url,
        status=response.status,
        headers=response.headers,
        body=response.body,
        fetched_at=now,
        fresh_until=now,
    )


def _refreshed(kept: KeptPage, response: Response, now: float) -> KeptPage:
    """What the origin says anew holds, but not about a body that it did not send."""
    anew = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
    return KeptPage(
        url=kept.url,
        status=kept.status,
        headers={**kept.headers, **anew},
        body=kept.body,
        fetched_at=now,
        fresh_until=now,
    )


def _page(kept: KeptPage, *, from_cache: bool) -> Page:
    return Page(
        url=kept.url,
        status=kept.status,
        content_type=kept.headers.get("content-type", "")[:200],
        body=kept.body,
        fetched_at=datetime.fromtimestamp(kept.fetched_at, UTC),
        from_cache=from_cache,
    )


def _said(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _hint(status: int) -> str:
    if status in _HINTS:
        return _HINTS[status]
    if status >= 500:
        return "it fails on its own side; try again later or use another source"
    return "it does not give the page; check the URL" if status >= 400 else "it leads nowhere; give the final URL"
