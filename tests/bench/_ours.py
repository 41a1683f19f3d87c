"""Our producer in `make bench B=queue`: tasks accepted one at a time, as an endpoint does it for its callers."""

import os
from uuid import UUID

import uvloop

from shared.config import Settings
from shared.ports.tasks import NewTask, Tasks
from shared.wiring import Ports
from tests.bench._side import MESSAGE, produce


async def _main() -> None:
    user_id = UUID(os.environ["BENCH_USER"])
    async with Ports(Settings.read()) as ports:
        tasks = await ports.open(Tasks)

        async def send() -> None:
            await tasks.accept(
                [NewTask(user_id=user_id, agent="everything", tool="echo", parameters={"message": MESSAGE})]
            )

        await produce(send)


if __name__ == "__main__":
    uvloop.run(_main())
