"""`make chaos C=partition`: each link between processes and servers is cut, reset, slowed and delayed under load.

As root it does so in a network namespace of its own once more, where the kernel drops the packets of a link.
"""

import asyncio
import os
import random
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from urllib.parse import urlsplit, urlunsplit

from tests.chaos._cluster import Cluster, Shape, Urls
from tests.chaos._load import Load, under_load
from tests.chaos._proxy import Proxy, proxy
from tests.chaos._seeds import Worst, asked, keep_worst
from tests.report import Target, at_least, report, unsupported

LINKS = ("postgres", "redis", "amqp")
WAYS = ("hole", "refuse", "reset", "slow", "delay", "cut short")
_LASTS_S = (2.0, 6.0)
_CALM_S = 2.0
_INSIDE = "SUTAZAI_CHAOS_NAMESPACE"


def _port_of(url: str) -> int:
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
                target = _port_of(getattr(urls, name))
                self.proxies[name] = await stack.enter_async_context(proxy(target))
            yield replace(urls, **{name: _at(getattr(urls, name), link.port) for name, link in self.proxies.items()})


def _break(link: Proxy, way: str) -> None:
    if way == "hole":
        link.hole = True
    elif way == "refuse":
        link.refuse = True
        link.reset()
    elif way == "reset":
        link.reset()
    elif way == "slow":
        link.bytes_per_s = 20_000
    elif way == "delay":
        link.delay_s = 0.3
    else:
        link.reset_after = 2_000


async def faults(here: Cluster, load: Load, *, links: Links, seed: int, count: int) -> dict[str, Target]:
    """Each link in each way at least once where the count suffices, in an order of the seed's."""
    dice = random.Random(seed)
    cuts = [(link, way) for link in LINKS for way in WAYS]
    dice.shuffle(cuts)
    for name, way in cuts[:count]:
        before = len(load.ids)
        _break(links.proxies[name], way)
        await asyncio.sleep(dice.uniform(*_LASTS_S))
        links.proxies[name].heal()
        await asyncio.sleep(_CALM_S)
        print(f"{name:<9} {way:<9} {len(load.ids) - before} accepted meanwhile", flush=True)
    return {"cuts": at_least(min(count, len(cuts)), min(count, len(cuts)))}


class Dropping:
    """nft in our own namespace: packets to a server's port vanish, both ways."""

    def __init__(self) -> None:
        self._nft("add table ip chaos; add chain ip chaos in { type filter hook input priority 0; }")

    def cut(self, port: int) -> None:
        self._nft(f"add rule ip chaos in tcp dport {port} drop; add rule ip chaos in tcp sport {port} drop")

    def lose(self, port: int) -> None:
        """One packet of five."""
        self._nft(f"add rule ip chaos in tcp dport {port} numgen random mod 5 == 0 drop")

    def heal(self) -> None:
        self._nft("flush chain ip chaos in")

    def _nft(self, commands: str) -> None:
        subprocess.run(["nft", commands], check=True, capture_output=True, timeout=10)


async def dropped(here: Cluster, load: Load, *, seed: int, count: int) -> dict[str, Target]:
    dice, nft = random.Random(seed), Dropping()
    cuts = [(name, way) for name in LINKS for way in ("dropped", "lossy")]
    dice.shuffle(cuts)
    for name, way in cuts[:count]:
        before, port = len(load.ids), _port_of(getattr(here.urls, name))
        (nft.cut if way == "dropped" else nft.lose)(port)
        await asyncio.sleep(dice.uniform(*_LASTS_S))
        nft.heal()
        await asyncio.sleep(_CALM_S)
        print(f"{name:<9} {way:<9} {len(load.ids) - before} accepted meanwhile", flush=True)
    return {"cuts by the kernel": at_least(min(count, len(cuts)), 1)}


def _namespaces() -> str | None:
    """Why they cannot be had; None where they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if missing := [tool for tool in ("unshare", "ip", "nft") if shutil.which(tool) is None]:
        return f"not installed: {', '.join(missing)}"
    tried = subprocess.run(
        ["unshare", "--net", "nft", "add table ip chaos"], capture_output=True, text=True, timeout=20, check=False
    )
    return tried.stderr.strip() or "nft was refused" if tried.returncode else None


def _inside(seeds: int, first: int) -> int:
    """Ours once more, alone with a loopback interface of its own."""
    start = 'ip link set lo up && exec "$0" -m tests.chaos.partition "$@"'
    argv = ["unshare", "--net", "sh", "-c", start, sys.executable, "--seeds", str(seeds), "--first", str(first)]
    return subprocess.run(argv, env={**os.environ, _INSIDE: "1"}, check=False).returncode


async def _through_proxies(seed: int, count: int) -> Worst:
    links = Links()
    play = partial(faults, links=links, seed=seed, count=count)
    return await under_load(Shape(), play, through=links.through)


def main() -> int:
    given = asked(__doc__, tasks=len(LINKS) * len(WAYS), seeds=1, minutes=4)
    worst: Worst = {}
    if os.environ.get(_INSIDE):
        for seed in given.seeds:
            play = partial(dropped, seed=seed, count=given.tasks)
            keep_worst(worst, asyncio.run(under_load(Shape(), play)))
        return report("chaos-partition-nft", worst)
    for seed in given.seeds:
        print(f"seed {seed}")
        keep_worst(worst, asyncio.run(_through_proxies(seed, given.tasks)))
    why = _namespaces()
    kernel = unsupported("chaos-partition-nft", why) if why else _inside(len(given.seeds), given.seeds[0])
    return report("chaos-partition", worst) or kernel


if __name__ == "__main__":
    sys.exit(main())
