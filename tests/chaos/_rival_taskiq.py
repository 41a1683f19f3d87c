"""taskiq in the storm: its defaults are a quorum queue, confirms, and acknowledgement after the task."""

import asyncio
import sys

from taskiq_aio_pika import AioPikaBroker

from tests.chaos._rival_side import AFTER_S, AMQP_URL, effect

broker = AioPikaBroker(AMQP_URL)
_SEND_S = 10.0


@broker.task(task_name="work")
async def taskiq_work(task: str, ms: int) -> None:
    await asyncio.sleep(ms / 1000)
    effect(task)
    await asyncio.sleep(AFTER_S)


async def main() -> None:
    """On a loop that goes on between two tasks: a connection that was lost is made again in it."""
    await broker.startup()
    while line := await asyncio.to_thread(sys.stdin.readline):
        task, ms = line.split()
        try:
            await asyncio.wait_for(taskiq_work.kiq(task, int(ms)), _SEND_S)
        except Exception as exc:  # any of them is a refusal
            print(f"no {task} {type(exc).__name__}", flush=True)
        else:
            print(f"ok {task}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
