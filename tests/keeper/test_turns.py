import asyncio

import asyncpg

from shared.config import Settings
from shared.ports.upkeep import Upkeep
from shared.wiring import Ports


def test_of_many_who_ask_one_gets_the_turn(settings: Settings) -> None:
    async def ask() -> list[bool]:
        async with Ports(settings) as ports:
            upkeep = await ports.open(Upkeep)
            return list(await asyncio.gather(*(upkeep.take_turn("trim", 60) for _ in range(20))))

    assert sum(asyncio.run(ask())) == 1


def test_the_next_turn_comes_when_its_time_has_come(settings: Settings) -> None:
    async def ask() -> tuple[bool, bool, bool]:
        async with Ports(settings) as ports:
            upkeep = await ports.open(Upkeep)
            first, early = await upkeep.take_turn("trim", 60), await upkeep.take_turn("trim", 60)
            connection = await asyncpg.connect(settings.postgres_url)
            await connection.execute("UPDATE sutazai.turns SET due_at = now()")
            await connection.close()
            return first, early, await upkeep.take_turn("trim", 60)

    assert asyncio.run(ask()) == (True, False, True)
