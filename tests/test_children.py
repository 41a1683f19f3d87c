"""Children that ran a task alone are kept for the next one, and nothing that passed meanwhile is in its way."""

from uuid import uuid4

import pytest

from shared.catalog import actions_of
from shared.children import Children
from shared.config import Settings
from shared.perform import RunContext
from shared.ports.tasks import Claimed
from shared.stores.postgres.database import connect
from tests.agents.called import Replica, at


def test_a_connection_that_was_ended_while_its_child_stood_idle_fails_no_task(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUTAZAI_HOME", str(settings.home))
    monkeypatch.setenv("SUTAZAI_POSTGRES_URL", settings.postgres_url)

    async def play(here: Replica) -> None:
        user_id = (await here.newcomer()).user_id
        specs = actions_of("everything")
        (spec,) = (spec for spec in specs if spec.tool.name == "ledger")
        children = Children(specs, size=1)
        writers = (
            "SELECT array_agg(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query LIKE '%INTO ledger%' AND pid <> pg_backend_pid()"
        )
        outside = await connect(settings.postgres_url)
        try:
            held = []
            for _ in range(4):
                task = Claimed(
                    user_id=user_id,
                    id=uuid4(),
                    agent="everything",
                    tool="ledger",
                    parameters={},
                    timeout_ms=20_000,
                    attempt=1,
                    max_attempts=3,
                    losses=1,
                    fence=2,
                )
                outcome = await children.run(spec, task, RunContext(user_id, task.id, 1), timeout_s=20, alone=True)
                assert outcome.error is None
                (pid,) = await outside.fetchval(writers)
                held.append(pid)
                if len(held) != 2:
                    assert await outside.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)
            assert held[1] != held[0] and held[2] == held[1] and held[3] != held[2]
        finally:
            await outside.close()
            await children.close()

    at(settings, "everything", play)
