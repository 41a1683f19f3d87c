"""What the benchmarks' processes share: where they are told to work, orders to a producer, and a count of ends."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

AMQP_URL = os.environ.get("BENCH_AMQP_URL", "")
POSTGRES_URL = os.environ.get("BENCH_POSTGRES_URL", "")
COUNT = os.environ.get("BENCH_COUNT", os.devnull)
# Whether a task has a row, as any product's has.
ROWS = os.environ.get("BENCH_ROWS") == "1"
MESSAGE = "hello"
# How many send at once, in one process: threads of those who block, tasks of those who wait on a loop.
PRODUCERS = 32

_counted: dict[int, int] = {}


def count() -> None:
    """One more has ended: a byte on a file in memory, the cheapest that several processes can add up."""
    pid = os.getpid()
    if pid not in _counted:
        _counted[pid] = os.open(COUNT, os.O_WRONLY | os.O_APPEND)
    os.write(_counted[pid], b".")


def produce_in_threads(send: Callable[[], object]) -> None:
    """Each line of standard input is how many to send; answers once they are sent."""

    def some(count: int) -> None:
        for _ in range(count):
            send()

    with ThreadPoolExecutor(PRODUCERS) as pool:
        for line in sys.stdin:
            list(pool.map(some, _shares(int(line))))
            print("sent", flush=True)


async def produce(send: Callable[[], Awaitable[object]]) -> None:
    """The same for those who wait on a loop."""

    async def some(count: int) -> None:
        for _ in range(count):
            await send()

    while line := await asyncio.to_thread(sys.stdin.readline):
        await asyncio.gather(*map(some, _shares(int(line))))
        print("sent", flush=True)


def _shares(count: int) -> list[int]:
    each, more = divmod(count, PRODUCERS)
    return [each + (number < more) for number in range(PRODUCERS)]
