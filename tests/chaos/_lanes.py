"""What each swept act works on, and what must hold after its process was ended anywhere within it."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self
from uuid import UUID

import asyncpg

from functions.auth.refresh import Refresh, refresh
from shared.config import Settings
from shared.function import Call
from shared.ports.ledger import Ledger
from shared.ports.sessions import Sessions
from shared.ports.tasks import Claimed, NewTask, Queue, Tasks
from shared.ports.tokens import Tokens
from shared.ports.upkeep import Upkeep
from shared.stores.postgres.database import Database
from shared.stores.postgres.migrate import migrate, migrations
from shared.wiring import Ports
from tests.chaos._victims import OUTCOMES
from tests.people import place

Told = dict[str, Any]
Answer = Mapping[str, Any] | None
_CALL = Call(request_id="sweep", address="192.0.2.1", user_agent="sweep")


class Lane(ABC):
    """A database of its own, a user in it, and the ports of a process that survives."""

    act: str

    def __init__(self, settings: Settings, url: str) -> None:
        self.url = url
        self._servers = settings
        self._settings = replace(settings, postgres_url=url)

    async def __aenter__(self) -> Self:
        async with place(self._settings) as people:
            self.user: UUID = (await people.register("ada")).id
        self.ports = await Ports(self._settings).__aenter__()
        self.database = await self.ports.open(Database)
        self.tasks = await self.ports.open(Tasks)
        self.queue = await self.ports.open(Queue)
        self.ledger = await self.ports.open(Ledger)
        self.upkeep = await self.ports.open(Upkeep)
        self.survivor = await self.queue.join(["everything"], slot="survivor/0")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.ports.__aexit__(None, None, None)

    def told(self, **more: Any) -> Told:
        environ = {
            "SUTAZAI_HOME": str(self._servers.home),
            "SUTAZAI_POSTGRES_URL": self.url,
            "SUTAZAI_REDIS_URL": self._servers.redis_url,
            "SUTAZAI_AMQP_URL": self._servers.amqp_url,
        }
        return {"act": self.act, "environ": environ, **more}

    @abstractmethod
    async def prepare(self, at: int) -> Told:
        """What the process is told that will be ended at its call number `at`."""

    @abstractmethod
    async def judge(self, at: int, told: Told, answer: Answer) -> None:
        """Does what a client, a worker or a keeper does next. Raises AssertionError where a promise was broken."""

    async def queued(self, count: int = 2) -> list[str]:
        new = [NewTask(user_id=self.user, agent="everything", tool="ledger", parameters={"n": n}) for n in range(count)]
        return [str(i) for i in await self.tasks.accept(new)]

    async def worked_off(self) -> None:
        """By another worker, after the dead one's were taken from it, as a platform that starts again does it."""
        await self.queue.bury("victim")
        await self.upkeep.reap()
        await self.upkeep.make_due()
        while claimed := await self._claimed():
            for task in claimed:
                await self.ledger.write(task.user_id, task.id, "effect", task.attempt)
                await self.queue.finish(task, OUTCOMES["succeeded"])

    async def _claimed(self) -> list[Claimed]:
        if await self.queue.beat(self.survivor, []) is None:
            self.survivor = await self.queue.join(["everything"], slot="survivor/0")
        return await self.queue.claim(self.survivor, "everything", ["ledger"], 16)

    async def numbered(self) -> None:
        """Numbers wait for transactions that began earlier, those of other databases on the server too."""
        while await self.database.fetchval("SELECT EXISTS (SELECT FROM events WHERE seq IS NULL)"):
            await self.upkeep.number()
            await asyncio.sleep(0.01)

    async def ended_once(self, ids: list[str], *, statuses: tuple[str, ...] = ("succeeded",)) -> None:
        """P1, P3, P8: each has ended, with one effect, one result event and one audit line, numbered in a row."""
        await self.numbered()
        rows = await self.database.fetch(
            "SELECT e.id::text, e.status, e.attempt <= e.max_attempts + e.losses AS bounded,"
            " (SELECT count(*) FROM ledger l WHERE l.execution_id = e.id) AS effects,"
            " (SELECT count(*) FROM events v WHERE v.subject = e.id::text AND v.type = 'task.submitted.v1') AS begun,"
            " (SELECT count(*) FROM events v WHERE v.subject = e.id::text AND v.type = ANY($2)) AS results,"
            " (SELECT array_agg(v.sequence ORDER BY v.seq) FROM events v WHERE v.subject = e.id::text) AS course,"
            " (SELECT count(*) FROM audit_log a WHERE a.object = 'everything/ledger/' || e.id) AS audited"
            " FROM agent_executions e WHERE e.id = ANY($1::uuid[])",
            ids,
            [f"task.{status}.v1" for status in ("succeeded", "failed", "cancelled", "expired")],
        )
        assert sorted(row["id"] for row in rows) == sorted(ids), "accepted, and not in the record"
        for row in rows:
            assert row["status"] in statuses and row["bounded"], dict(row)
            assert (row["effects"], row["begun"], row["results"], row["audited"]) == (1, 1, 1, 1), dict(row)
            assert row["course"] == sorted(set(row["course"])), dict(row)


class Accepting(Lane):
    act = "accept"

    async def prepare(self, at: int) -> Told:
        tasks = [
            {"agent": "everything", "tool": "ledger", "parameters": {"n": n}, "key": f"{at}-{n}"} for n in range(3)
        ]
        return self.told(user=str(self.user), tasks=tasks)

    async def judge(self, at: int, told: Told, answer: Answer) -> None:
        """P7: a client that repeats itself gets the ids that it was told, or would have been."""
        new = [NewTask(user_id=self.user, **one, digest=b"d" * 32) for one in told["tasks"]]
        ids = [str(i) for i in await self.tasks.accept(new)]
        assert answer is None or answer["ids"] == ids, (answer, ids)
        keyed = "SELECT count(*) FROM agent_executions WHERE idempotency_key = ANY($1)"
        assert await self.database.fetchval(keyed, [one["key"] for one in told["tasks"]]) == len(ids)
        await self.worked_off()
        await self.ended_once(ids)


class Waking(Lane):
    act = "wake"

    async def prepare(self, at: int) -> Told:
        return self.told(ids=await self.queued())

    async def judge(self, at: int, told: Told, answer: Answer) -> None:
        """A wake-up's fate changes no task, and the next keeper finds the lock free and no event without a number."""
        states = "SELECT status, fence FROM agent_executions WHERE id = ANY($1::uuid[])"
        found = {tuple(row) for row in await self.database.fetch(states, told["ids"])}
        assert found == {("queued", 0)}, found
        async with self.upkeep.active():
            await self.numbered()
        await self.worked_off()
        await self.ended_once(told["ids"])
        numbers = "SELECT count(seq) - count(DISTINCT seq) FROM events"
        doubled = await self.database.fetchval(numbers)
        assert doubled == 0, doubled


class Claiming(Lane):
    act = "claim"

    async def prepare(self, at: int) -> Told:
        return self.told(ids=await self.queued(), slot="victim/0")

    async def judge(self, at: int, told: Told, answer: Answer) -> None:
        assert answer is None or sorted(answer["ids"]) == sorted(told["ids"])
        await self.worked_off()
        await self.ended_once(told["ids"])
        held = "SELECT max(losses) FROM agent_executions WHERE id = ANY($1::uuid[])"
        assert await self.database.fetchval(held, told["ids"]) <= 1


class Finishing(Lane):
    act = "finish"

    async def prepare(self, at: int) -> Told:
        outcome = list(OUTCOMES)[at % len(OUTCOMES)]
        return self.told(ids=await self.queued(), slot="victim/0", outcome=outcome)

    async def judge(self, at: int, told: Told, answer: Answer) -> None:
        """P2: what was answered as written stays; all or nothing of a transaction is there."""
        states = "SELECT id::text, status FROM agent_executions WHERE id = ANY($1::uuid[])"
        before = {row["id"]: row["status"] for row in await self.database.fetch(states, told["ids"])}
        if answer is not None:
            wanted = "queued" if told["outcome"] == "again" else told["outcome"]
            assert before == dict.fromkeys(answer["ids"], wanted) and answer["ids"], (before, answer)
        await self.worked_off()
        # One that failed has ended so; one whose end was not written is run again, here with success.
        await self.ended_once(told["ids"], statuses=("succeeded", "failed"))
        after = {row["id"]: row["status"] for row in await self.database.fetch(states, told["ids"])}
        ended = {task_id: status for task_id, status in before.items() if status in ("succeeded", "failed")}
        assert ended.items() <= after.items(), (before, after)


class Refreshing(Lane):
    act = "refresh"

    async def prepare(self, at: int) -> Told:
        async with place(self._settings) as people:
            return self.told(token=(await people.login("ada")).refresh_token)

    async def judge(self, at: int, told: Told, answer: Answer) -> None:
        """Whoever was told of a successor uses it; whoever was not repeats himself: neither is thrown out."""
        token = told["token"] if answer is None else answer["token"]
        sessions, tokens = await self.ports.open(Sessions), await self.ports.open(Tokens)
        for _ in range(2):
            pair = await refresh(Refresh(refresh_token=token), sessions=sessions, tokens=tokens, call=_CALL)
            assert pair.refresh_token != token
            token = pair.refresh_token
        revoked = "SELECT count(*) FROM sessions WHERE revoked_at IS NOT NULL"
        assert await self.database.fetchval(revoked) == 0


class Migrating(Lane):
    """Its databases are empty, one for each point: there is no user, and no ports."""

    act = "migration"

    async def __aenter__(self) -> Self:
        self._shape: list[tuple[object, ...]] | None = None
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def prepare(self, at: int) -> Told:
        name = f"migrated_{at}"
        await self._execute(self._servers.postgres_url, f"CREATE DATABASE {name} TEMPLATE template0")
        self.url = self._servers.postgres_url.replace("/sutazai?", f"/{name}?")
        assert self.url != self._servers.postgres_url
        return self.told()

    async def judge(self, at: int, told: Told, answer: Answer) -> None:
        """The next start brings it to its end: the same tables as those of one that nobody disturbed."""
        url = told["environ"]["SUTAZAI_POSTGRES_URL"]
        applied = await migrate(url)
        assert answer is None or not applied, applied
        connection = await asyncpg.connect(url)
        try:
            known = [
                row["number"] for row in await connection.fetch("SELECT number FROM sutazai.migrations ORDER BY 1")
            ]
            shape = [
                tuple(row)
                for row in await connection.fetch(
                    "SELECT table_name, column_name, data_type, is_nullable, column_default"
                    " FROM information_schema.columns WHERE table_schema = 'sutazai' ORDER BY 1, 2"
                )
            ]
        finally:
            await connection.close()
        assert known == [migration.number for migration in migrations()]
        self._shape = self._shape or shape
        assert shape == self._shape
        await self._execute(self._servers.postgres_url, f"DROP DATABASE migrated_{at} WITH (FORCE)")

    async def _execute(self, url: str, statement: str) -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


LANES: Mapping[str, type[Lane]] = {
    lane.act: lane for lane in (Accepting, Waking, Claiming, Finishing, Refreshing, Migrating)
}
