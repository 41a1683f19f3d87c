"""`make chaos C=versions`: processes of two versions share the work, over a database that is ahead of both, under load.

A worker that knows a tool less beside one that knows it, wake-ups that say more than is read, and in the middle of it a
migration of the version to come, after which all are started anew. N: tasks of the tool that only one knows.
"""

import asyncio
import sys
from functools import partial

import aio_pika

from events.topology import AGENTS, wake_up_key
from shared.stores.postgres.migrate import Migration, migrate, migrations
from shared.stores.rabbitmq.messages import event_of
from tests.chaos._cluster import Cluster, Shape
from tests.chaos._load import Load, under_load
from tests.chaos._other_version import SAID, TOOL
from tests.chaos._seeds import asked
from tests.chaos._work import Accepted, submit, until_ended
from tests.chaos.rolling import restart
from tests.report import Target, at_least, exactly, report
from tests.system.platform import Client

_OTHER = "tests.chaos._other_version"
SHAPE = Shape(
    instead={"worker-0": (_OTHER, "older"), "keeper": (_OTHER, "newer"), "connector": (_OTHER, "newer")},
)
_BATCH = 20
_AHEAD = """
ALTER TABLE agent_executions ADD COLUMN of_a_newer_version text;
CREATE TABLE of_a_newer_version (id uuid PRIMARY KEY);
INSERT INTO events (type, source, subject, agent, sequence, data)
    VALUES ('task.paused.v1', '/functions/pause', 'of-a-newer-version', 'everything', 1, '{"of_a_newer_version": 1}');
"""
# By the worker that each ended with, before any of them is started anew and forgotten.
_TAKEN = """
SELECT count(*) FILTER (WHERE w.slot = 'chaos/0' AND e.task_id = $1) AS wrongly,
    count(*) FILTER (WHERE w.slot = 'chaos/0' AND e.task_id <> $1) AS by_older,
    count(*) FILTER (WHERE w.slot IS DISTINCT FROM 'chaos/0') AS by_newer
FROM agent_executions e JOIN workers w ON w.id = e.worker_id
"""


async def faults(here: Cluster, load: Load, *, tasks: int, roles: tuple[str, ...]) -> dict[str, Target]:
    said = await _says_more(here)
    await _only_for_newer(here, load, tasks // 2)
    async with here.record() as connection:
        taken = await connection.fetchrow(_TAKEN, TOOL)
    print("taken:", dict(taken))
    known = migrations()
    applied = await migrate(here.urls.postgres, (*known, Migration(len(known) + 1, "ahead", _AHEAD)))
    restarts = 0
    for role in roles:
        for which in range(len(here.pids(role))):
            await restart(here, role, which)
            restarts += 1
    await _only_for_newer(here, load, tasks - tasks // 2)
    return {
        "wake-ups that say more": at_least(said, 1),
        "taken by a worker that does not know them": exactly(taken["wrongly"], 0),
        "taken by the older worker": at_least(taken["by_older"], 1),
        "taken by newer ones": at_least(taken["by_newer"], 1),
        "migrations ahead": exactly(len(applied), 1),
        "processes started anew after it": at_least(restarts, len(roles)),
    }


async def _only_for_newer(here: Cluster, load: Load, tasks: int) -> None:
    found = Accepted()
    async with Client(here.apis[0]) as client:
        for start in range(0, tasks, _BATCH):
            one = {"agent_id": "everything", "task": TOOL, "parameters": {"a": start, "b": 1}, "ttl_s": 3600}
            key = f"only-{len(load.others)}-{start}"
            await submit(client, [one] * min(_BATCH, tasks - start), key, found)
            await asyncio.sleep(0.1)
    load.others += found.ids
    await until_ended(here, found.ids, since=asyncio.get_running_loop().time(), within_s=60)


async def _says_more(here: Cluster) -> int:
    """How many of the next wake-ups do so; it takes a copy of one."""
    async with await aio_pika.connect(here.urls.amqp) as connection:
        queue = await (await connection.channel()).declare_queue(exclusive=True)
        await queue.bind(AGENTS, wake_up_key("*"))
        async with asyncio.timeout(30), queue.iterator() as messages:
            async for message in messages:
                return int(SAID in event_of(message).data)
    return 0


async def versions(tasks: int, roles: tuple[str, ...]) -> dict[str, Target]:
    return await under_load(SHAPE, partial(faults, tasks=tasks, roles=roles))


def main() -> int:
    given = asked(__doc__, tasks=400)
    roles = ("gateway", "keeper", "worker", "agent", "connector")
    return report("chaos-versions", asyncio.run(versions(given.tasks, roles)))


if __name__ == "__main__":
    sys.exit(main())
