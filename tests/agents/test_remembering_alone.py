"""A task that a worker died under runs in a child, which reads no keys: agents that remember do so there too."""

from typing import Any
from uuid import uuid4

import pytest

from shared.catalog import actions_of
from shared.children import Children
from shared.config import Settings
from shared.perform import RunContext
from shared.ports.tasks import Claimed
from tests.agents.called import Replica, at

ENTITY = {"name": "Ada", "entityType": "person", "observations": ["wrote notes"]}
THOUGHT = {"thought": "so", "thoughtNumber": 1, "totalThoughts": 1, "nextThoughtNeeded": False}

FILE = {"projectName": "house", "fileName": "plan.md", "content": "to do"}


@pytest.mark.parametrize(
    "agent, tool, arguments, expected",
    [
        ("memory", "create_entities", {"entities": [ENTITY]}, {"entities": [ENTITY]}),
        (
            "sequential-thinking",
            "sequentialthinking",
            THOUGHT,
            {name: THOUGHT[name] for name in ("thoughtNumber", "totalThoughts", "nextThoughtNeeded")}
            | {"branches": [], "thoughtHistoryLength": 1},
        ),
        ("memory-bank", "memory_bank_write", FILE, None),
        ("extended-memory", "save_context", {"content": "decided"}, None),
    ],
)
def test_what_runs_again_alone_remembers(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, agent: str, tool: str, arguments: dict[str, Any], expected: Any
) -> None:
    monkeypatch.setenv("SUTAZAI_HOME", str(settings.home))
    monkeypatch.setenv("SUTAZAI_POSTGRES_URL", settings.postgres_url)

    async def play(here: Replica) -> None:
        user_id = (await here.newcomer()).user_id
        specs = actions_of(agent)
        (spec,) = (spec for spec in specs if spec.tool.name == tool)
        task = Claimed(
            user_id=user_id,
            id=uuid4(),
            agent=agent,
            tool=tool,
            parameters=arguments,
            timeout_ms=20_000,
            attempt=1,
            max_attempts=3,
            losses=1,
            fence=2,
        )
        children = Children(specs, size=1)
        try:
            # The second time is as if the first one's end had been lost.
            outcomes = [
                await children.run(spec, task, RunContext(user_id, task.id, 1), timeout_s=20, alone=True)
                for _ in range(2)
            ]
            assert [outcome.error for outcome in outcomes] == [None, None]
            assert outcomes[0].result == outcomes[1].result
            if expected is not None:
                assert outcomes[0].result == expected
        finally:
            await children.close()

    at(settings, agent, play)
