"""`make chaos C=partition`: each link between processes and servers is cut, reset, slowed and delayed under load.

As root it does so in a network namespace of its own once more, where the kernel drops the packets of a link.
"""

import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial

from tests.chaos._cluster import Cluster, Shape
from tests.chaos._links import LINKS, Links, port_of
from tests.chaos._load import Load, under_load
from tests.chaos._proxy import Proxy
from tests.chaos._seeds import Asked, Worst, asked, keep_worst
from tests.chaos._work import RUNS_WHILE_AWAY
from tests.report import Target, at_least, report, unsupported

WAYS = ("hole", "refuse", "reset", "slow", "delay", "cut short")
_LASTS_S = (2.0, 6.0)
_CALM_S = 2.0
# What a server answers at once.
_HELLOS = {
    "postgres": b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
    "redis": b"PING\r\n",
    "amqp": b"AMQP\x00\x00\x09\x01",
}
_PATIENCE_S = 1.5
_MET_WITHIN_S = 10.0
# Redis is asked for little.
_CUT_AFTER_BYTES = {"postgres": 2_000, "redis": 20, "amqp": 2_000}
_DELAY_S = 0.3
_INSIDE = "SUTAZAI_CHAOS_NAMESPACE"


def _break(link: Proxy, name: str, way: str) -> None:
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
        link.delay_s = _DELAY_S
    else:
        link.reset_after = _CUT_AFTER_BYTES[name]


async def _answer_s(name: str, port: int) -> float:
    """After how long a stranger is answered; infinity where they are not."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(_PATIENCE_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(_HELLOS[name])
                answered = await reader.read(1) != b""
            finally:
                writer.transport.abort()
    except (OSError, TimeoutError):
        answered = False
    return time.monotonic() - began if answered else float("inf")


def _is_felt(way: str, answer_s: float) -> bool:
    if way in ("hole", "refuse"):
        return answer_s == float("inf")
    return answer_s >= _DELAY_S if way == "delay" else True


async def _met(link: Proxy, before: int) -> int:
    """How much the fault has befallen; some links are quiet for a while."""
    until = time.monotonic() + _MET_WITHIN_S
    while link.met == before and time.monotonic() < until:
        await asyncio.sleep(0.05)
    return link.met - before


async def faults(here: Cluster, load: Load, *, links: Links, seed: int, count: int) -> dict[str, Target]:
    """Each link in each way at least once where the count suffices, in an order of the seed's."""
    dice = random.Random(seed)
    cuts = [(link, way) for link in LINKS for way in WAYS]
    dice.shuffle(cuts)
    felt = 0
    for name, way in cuts[:count]:
        link, before = links.proxies[name], len(load.ids)
        met = link.met
        _break(link, name, way)
        await asyncio.sleep(dice.uniform(*_LASTS_S))
        met = await _met(link, met)
        answer_s = await _answer_s(name, link.port)
        link.heal()
        await asyncio.sleep(_CALM_S)
        print(f"{name:<9} {way:<9} {len(load.ids) - before} accepted meanwhile, {met} met it, {answer_s:.2f} s")
        felt += met > 0 and _is_felt(way, answer_s)
    return {"cuts that were felt": at_least(felt, min(count, len(cuts)))}


class Dropping:
    """nft in our own namespace: packets to a server's port vanish, both ways."""

    def __init__(self) -> None:
        self._nft("add table ip chaos; add chain ip chaos in { type filter hook input priority 0; }")

    def cut(self, port: int) -> None:
        rules = (f"add rule ip chaos in tcp {side}port {port} counter drop" for side in "ds")
        self._nft("; ".join(rules))

    def lose(self, port: int) -> None:
        """One packet of five."""
        self._nft(f"add rule ip chaos in tcp dport {port} numgen random mod 5 == 0 counter drop")

    def heal(self) -> int:
        """Returns how many packets were dropped."""
        listed = json.loads(self._nft("list chain ip chaos in", "--json"))["nftables"]
        self._nft("flush chain ip chaos in")
        parts = (part for one in listed for part in one.get("rule", {}).get("expr", ()))
        return sum(part["counter"]["packets"] for part in parts if "counter" in part)

    def _nft(self, commands: str, *options: str) -> bytes:
        return subprocess.run(["nft", *options, commands], check=True, capture_output=True, timeout=10).stdout


async def dropped(here: Cluster, load: Load, *, seed: int, count: int) -> dict[str, Target]:
    dice, nft = random.Random(seed), Dropping()
    cuts = [(name, way) for name in LINKS for way in ("dropped", "lossy")]
    dice.shuffle(cuts)
    felt = 0
    for name, way in cuts[:count]:
        before, port = len(load.ids), port_of(getattr(here.urls, name))
        (nft.cut if way == "dropped" else nft.lose)(port)
        await asyncio.sleep(dice.uniform(*_LASTS_S))
        packets = nft.heal()
        felt += packets > 0
        await asyncio.sleep(_CALM_S)
        print(f"{name:<9} {way:<9} {len(load.ids) - before} accepted meanwhile, {packets} packets dropped", flush=True)
    return {"cuts by the kernel that dropped a packet": at_least(felt, min(count, len(cuts)))}


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


def _inside(given: Asked) -> int:
    """Ours once more, alone with a loopback interface of its own."""
    start = 'ip link set lo up && exec "$0" -m tests.chaos.partition "$@"'
    argv = ["unshare", "--net", "sh", "-c", start, sys.executable]
    argv += ["--tasks", str(given.tasks), "--seeds", str(len(given.seeds)), "--first", str(given.seeds[0])]
    if given.bounded:
        argv += ["--minutes", str(given.minutes)]
    return subprocess.run(argv, env={**os.environ, _INSIDE: "1"}, check=False).returncode


async def partition(seed: int, count: int) -> Worst:
    """Through proxies, which need no means but our own."""
    links = Links()
    play = partial(faults, links=links, seed=seed, count=count)
    return await under_load(Shape(), play, through=links.through, runs=RUNS_WHILE_AWAY)


def main() -> int:
    given = asked(__doc__, tasks=len(LINKS) * len(WAYS), seeds=1, minutes=4)
    worst: Worst = {}
    if os.environ.get(_INSIDE):
        for seed in given.turns():
            play = partial(dropped, seed=seed, count=given.tasks)
            keep_worst(worst, asyncio.run(under_load(Shape(), play, runs=RUNS_WHILE_AWAY)))
        return report("chaos-partition-nft", worst)
    # Each half of them has half of the time.
    given = replace(given, minutes=given.minutes / 2)
    for seed in given.turns():
        keep_worst(worst, asyncio.run(partition(seed, given.tasks)))
    why = _namespaces()
    kernel = unsupported("chaos-partition-nft", why) if why else _inside(given)
    return report("chaos-partition", worst) or kernel


if __name__ == "__main__":
    sys.exit(main())
