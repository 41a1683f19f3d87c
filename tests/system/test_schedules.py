"""Schedules on the whole platform: they run by themselves."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from tests.system.platform import Client, Platform


async def _last_runs(client: Client, schedule_id: str, count: int) -> list[dict[str, Any]]:
    """The last run, as it changes."""
    found: list[dict[str, Any]] = []
    while len(found) < count:
        schedule = (await client.http.get(f"/api/v1/schedules/{schedule_id}")).json()["data"]
        if schedule["last_run"] and schedule["last_run"] not in found:
            found.append(schedule["last_run"])
        await asyncio.sleep(0.05)
    return found


async def _runs_by_itself(platform: Platform) -> None:
    async with asyncio.timeout(60), Client(platform.api) as client:
        asked = {"agent_id": "everything", "task": "echo", "parameters": {"message": "tick"}, "every_s": 1}
        made = await client.http.post("/api/v1/schedules", json=asked)
        assert made.status_code == 201, made.text
        path = f"/api/v1/schedules/{made.json()['data']['id']}"
        runs = await _last_runs(client, made.json()["data"]["id"], 3)
        for run in runs:
            task = await client.ended(run["task_id"])
            assert (task["status"], task["parameters"], task["attempts"]) == ("succeeded", {"message": "tick"}, 1)
        paused = (await client.http.patch(path, json={"paused": True})).json()["data"]
        assert (paused["paused"], paused["next_run_at"], paused["last_error"]) == (True, None, None)
        now = await client.http.post(f"{path}/run")
        assert now.status_code == 202
        assert (await client.ended(now.json()["data"]["task_id"]))["status"] == "succeeded"
        tasks = (await client.http.get("/api/v1/tasks", params={"limit": 200})).json()["data"]["tasks"]
        assert {task["status"] for task in tasks} == {"succeeded"}
        assert {run["task_id"] for run in runs} < {task["task_id"] for task in tasks}
        assert (await client.http.delete(path)).json()["data"] == {"deleted": 1}
        assert (await client.http.get(path)).status_code == 404


def test_a_schedule_of_every_second_runs_by_itself_and_its_tasks_end() -> None:
    with tempfile.TemporaryDirectory(prefix="sutazai-schedules-") as folder:
        Path(folder).chmod(0o755)
        with Platform(Path(folder) / "home") as platform:
            asyncio.run(_runs_by_itself(platform))
