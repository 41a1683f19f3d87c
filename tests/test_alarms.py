import asyncio

from shared.alarms import Alarms, alarms


def test_alarms_ring_in_order_of_time_and_those_that_were_dropped_do_not() -> None:
    async def main() -> list[str]:
        rung: list[str] = []
        last = asyncio.Event()
        mine = Alarms(asyncio.get_running_loop())

        def ring_last() -> None:
            rung.append("late")
            last.set()

        mine.set("late", 0.03, ring_last)
        mine.set("dropped", 0.005, lambda: rung.append("dropped"))
        mine.set("early", 0.01, lambda: rung.append("early"))
        mine.drop("dropped")
        mine.drop("nobody's")
        async with asyncio.timeout(5):
            await last.wait()
        return rung

    assert asyncio.run(main()) == ["early", "late"]


def test_one_that_rings_may_set_and_drop_others() -> None:
    async def main() -> list[str]:
        rung: list[str] = []
        last = asyncio.Event()
        mine = Alarms(asyncio.get_running_loop())

        def first() -> None:
            rung.append("first")
            mine.drop("second")
            mine.set("third", 0.0, last.set)

        mine.set("first", 0.0, first)
        mine.set("second", 0.0, lambda: rung.append("second"))
        async with asyncio.timeout(5):
            await last.wait()
        return rung

    assert asyncio.run(main()) == ["first"]


def test_each_loop_has_its_own() -> None:
    async def main() -> Alarms:
        loop = asyncio.get_running_loop()
        assert alarms(loop) is alarms(loop)
        return alarms(loop)

    assert asyncio.run(main()) is not asyncio.run(main())
