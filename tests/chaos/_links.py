"""Proxies between the platform's processes and its servers, one for each link."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from urllib.parse import urlsplit, urlunsplit

from tests.chaos._cluster import Urls
from tests.chaos._proxy import Proxy, proxy

LINKS = ("postgres", "redis", "amqp")


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def _at(url: str, port: int) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{port}"))


class Links:
    """The proxies, once the servers are there to stand before."""

    def __init__(self) -> None:
        self.proxies: dict[str, Proxy] = {}

    @asynccontextmanager
    async def through(self, urls: Urls) -> AsyncIterator[Urls]:
        async with AsyncExitStack() as stack:
            for name in LINKS:
                target = port_of(getattr(urls, name))
                self.proxies[name] = await stack.enter_async_context(proxy(target))
            yield replace(urls, **{name: _at(getattr(urls, name), link.port) for name, link in self.proxies.items()})
