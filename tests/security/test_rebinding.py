"""A name that leads elsewhere with each query, asked for many times at once: nothing inside is ever reached."""

import asyncio
import os
import random
import socket
from collections import Counter
from collections.abc import Sequence

from shared.config import Settings
from shared.errors import ToolError, Unavailable
from shared.stores.egress.addresses import Address, parsed
from shared.stores.egress.gate import HttpEgress
from shared.stores.egress.url import Target
from tests.internet import PUBLIC, PUBLIC_V6, Names, Site, Wire, answer

RACES = int(os.environ.get("SUTAZAI_REBINDING_RACES", "500"))
AT_ONCE = 50
INSIDE = ("127.0.0.1", "::1", "10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1")


class _Flipping(Names):
    """Each query, and each of many at once, gets another answer, sometimes after others were answered."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._random = random.Random(seed)
        self._turn = False

    async def resolve(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        for _ in range(self._random.randrange(3)):
            await asyncio.sleep(0)
        self._turn = not self._turn
        inside = self._random.choice(INSIDE)
        if self._random.random() < 0.2:
            return self._random.sample([PUBLIC, PUBLIC_V6, inside], 3)
        return [PUBLIC] if self._turn else [inside]


class _LooksUpAgain(HttpEgress):
    """What the gate must never be: it connects to the name, not to what was checked."""

    async def _connected(self, target: Target, addresses: Sequence[Address]) -> socket.socket:
        again = [parsed(text) for text in await self._resolver.resolve(target.host)]
        return await super()._connected(target, [address for address in again if address is not None])


async def raced(egress: HttpEgress, races: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    slots = asyncio.Semaphore(AT_ONCE)

    async def race(number: int) -> None:
        async with slots:
            path = "go" if number % 4 == 0 else "stay"
            try:
                said = await egress.request(
                    "GET", f"http://rebind.example/{path}", headers={}, timeout_s=15, redirects=3
                )
            except ToolError:
                counts["refused"] += 1
            except Unavailable:
                counts["failed"] += 1
            else:
                counts[said.body.decode()] += 1

    async with asyncio.TaskGroup() as group:
        for number in range(races):
            group.create_task(race(number))
    return counts


def play(races: int, kind: type[HttpEgress], seed: int) -> tuple[Counter[str], int, set[str]]:
    """What became of the races, how often the inner origin was reached, and which addresses were dialled."""

    def serving(line: str, _headers: dict[str, str], _body: bytes) -> bytes:
        return answer(status=302, location="/stay") if " /go " in line else answer("PUBLIC")

    async def scenario() -> tuple[Counter[str], int, set[str]]:
        inner, public = Site(lambda *_: answer("INSIDE")), Site(serving)
        async with inner.listening(), public.listening():
            played = {(PUBLIC, 80): public.port, (PUBLIC_V6, 80): public.port}
            wire = Wire(played, elsewhere=inner.port)
            async with kind(settings=Settings.read({}), resolver=_Flipping(seed), dialer=wire) as egress:
                counts = await raced(egress, races)
        return counts, inner.connections, {host for host, _ in wire.dialled}

    return asyncio.run(scenario())


def test_no_change_of_a_name_between_check_and_connection_leads_inside() -> None:
    counts, hits, dialled = play(RACES, HttpEgress, seed=1)

    print(dict(counts))
    assert (hits, dialled) == (0, {PUBLIC})
    assert sorted(counts) == ["PUBLIC", "refused"]
    assert counts.total() == RACES


def test_the_race_would_be_won_against_a_gate_that_looks_up_again() -> None:
    _, hits, dialled = play(200, _LooksUpAgain, seed=2)
    assert hits > 0
    assert dialled - {PUBLIC, PUBLIC_V6}
