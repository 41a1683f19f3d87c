import asyncio
from collections.abc import Sequence

import pytest

from shared.batch import Batcher


async def _doubled(items: Sequence[int]) -> list[int | Exception]:
    await asyncio.sleep(0)
    return [ValueError(f"no {item}") if item < 0 else item * 2 for item in items]


def test_what_is_submitted_the_moment_a_batch_ends_is_run_too() -> None:
    async def main() -> list[int]:
        batcher: Batcher[int, int] = Batcher(_doubled, size=4)

        async def ask(start: int) -> int:
            number = start
            for _ in range(200):
                number = await batcher.submit(number) // 2
            return number

        async with asyncio.timeout(20):
            return list(await asyncio.gather(*map(ask, range(5))))

    assert asyncio.run(main()) == [0, 1, 2, 3, 4]


def test_one_item_fails_alone() -> None:
    async def main() -> list[int | BaseException]:
        batcher: Batcher[int, int] = Batcher(_doubled, size=8)
        return list(await asyncio.gather(*map(batcher.submit, (1, -1, 2)), return_exceptions=True))

    one, failed, two = asyncio.run(main())
    assert (one, two) == (2, 4)
    assert isinstance(failed, ValueError)


def test_a_batch_that_fails_fails_for_each_and_the_next_one_runs() -> None:
    calls: list[Sequence[int]] = []

    async def run(items: Sequence[int]) -> list[int | Exception]:
        calls.append(items)
        if len(calls) == 1:
            raise OSError("away")
        return [*items]

    async def main() -> int:
        batcher: Batcher[int, int] = Batcher(run, size=8)
        with pytest.raises(OSError, match="away"):
            await batcher.submit(1)
        return await batcher.submit(2)

    assert asyncio.run(main()) == 2


def test_items_of_callers_who_gave_up_are_still_run() -> None:
    seen: list[int] = []

    async def run(items: Sequence[int]) -> list[int | Exception]:
        await asyncio.sleep(0)
        seen.extend(items)
        return [*items]

    async def main() -> None:
        batcher: Batcher[int, int] = Batcher(run, size=1)
        asked = [asyncio.create_task(batcher.submit(number)) for number in range(3)]
        await asyncio.sleep(0)
        asked[1].cancel()
        await asyncio.wait(asked)
        await batcher.close()

    asyncio.run(main())
    assert seen == [0, 1, 2]


def test_batches_beside_one_another_take_each_item_once_and_none_is_empty() -> None:
    seen: list[Sequence[int]] = []

    async def run(items: Sequence[int]) -> list[int | Exception]:
        seen.append(items)
        await asyncio.sleep(0)
        return [*items]

    async def main() -> list[int]:
        batcher: Batcher[int, int] = Batcher(run, size=3, parallel=3)
        return list(await asyncio.gather(*map(batcher.submit, range(20))))

    assert asyncio.run(main()) == list(range(20))
    assert sorted(item for items in seen for item in items) == list(range(20))
    assert all(1 <= len(items) <= 3 for items in seen)
