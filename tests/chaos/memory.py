"""`make chaos C=memory`: workers are killed while many callers remember things; no write is lost, none doubled."""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from tests.report import Target, at_least, exactly, report
from tests.system.platform import Client, Platform

CALLERS = 1000
_SESSION = "storm"
_MCP = {"mcp-protocol-version": "2025-11-25", "accept": "application/json, text/event-stream"}


@dataclass
class Answers:
    """What callers were told; a call that was told nothing may have been done or not."""

    # By text: what was said to have been added.
    added: dict[str, list[str]] = field(default_factory=dict)
    # By text: the place that a thought was said to have.
    places: dict[str, int] = field(default_factory=dict)
    # By name: how many were told that they made the entity, or may have been.
    made: Counter[str] = field(default_factory=Counter)
    unsure_of: Counter[str] = field(default_factory=Counter)
    not_ended: int = 0
    unanswered: int = 0


class Caller:
    """Calls by turns through the queue, where a call is repeated, and through MCP, where it never is."""

    def __init__(self, client: Client, answers: Answers) -> None:
        self._client = client
        self._answers = answers

    async def turn(self, number: int) -> None:
        call = self._queued if number % 4 else self._attached
        text, group = f"text {number}", f"group {number // 8}"
        made = await call("memory", "create_entities", entities=[_entity(group)])
        if made is None:
            self._answers.unsure_of[group] += 1
        else:
            self._answers.made[group] += len(made["entities"])
        added = await call("memory", "add_observations", observations=[{"entityName": "all", "contents": [text]}])
        if added is not None:
            self._answers.added[text] = added["results"][0]["addedObservations"]
        thought = {"thought": text, "thoughtNumber": 1, "totalThoughts": 1, "nextThoughtNeeded": True}
        taken = await call("sequential-thinking", "sequentialthinking", **thought, sessionId=_SESSION)
        if taken is not None:
            self._answers.places[text] = taken["thoughtHistoryLength"]

    async def _queued(self, agent: str, tool: str, **arguments: Any) -> dict[str, Any] | None:
        task = await self._client.execute(agent, tool, arguments)
        try:
            task = await self._client.ended(task["task_id"], within_s=90)
        except TimeoutError:
            self._answers.not_ended += 1
            return None
        if task["status"] != "succeeded":
            self._answers.unanswered += 1
            return None
        result: dict[str, Any] = task["result"]
        return result

    async def _attached(self, agent: str, tool: str, **arguments: Any) -> dict[str, Any] | None:
        params = {"name": tool, "arguments": arguments}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        try:
            answer = await self._client.http.post(f"/mcp/{agent}", json=message, headers=_MCP)
            result: dict[str, Any] = answer.json()["result"] if answer.status_code == 200 else {"isError": True}
        except httpx.TransportError:
            result = {"isError": True}
        if result["isError"]:
            self._answers.unanswered += 1
            return None
        data: dict[str, Any] = result["structuredContent"]
        return data


def _entity(name: str) -> dict[str, Any]:
    return {"name": name, "entityType": "storm", "observations": []}


async def _kill(platform: Platform, seed: int, calmed: asyncio.Event) -> int:
    """Returns how many workers it killed, one at a time or all at once."""
    dice, kills = random.Random(seed), 0
    while not calmed.is_set():
        await asyncio.sleep(dice.uniform(2.0, 6.0))
        pids = platform.pids().get("worker", [])
        for pid in pids if dice.random() < 0.2 else pids and [dice.choice(pids)]:
            platform.kill(pid)
            kills += 1
    return kills


async def _kept(client: Client) -> tuple[dict[str, list[str]], dict[int, str]]:
    """What is remembered in the end: observations by entity, and thoughts by place."""
    read = await _read(client, "memory", "read_graph", {})
    thoughts: dict[int, str] = {}
    while True:
        asked = {"sessionId": _SESSION, "after": max(thoughts, default=0), "limit": 200}
        page = (await _read(client, "sequential-thinking", "read_thoughts", asked))["thoughts"]
        thoughts |= {thought["position"]: thought["thought"] for thought in page}
        if not page:
            return {entity["name"]: entity["observations"] for entity in read["entities"]}, thoughts


async def _read(client: Client, agent: str, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    task = await client.execute(agent, tool, arguments)
    task = await client.ended(task["task_id"], within_s=60)
    assert task["status"] == "succeeded", task
    result: dict[str, Any] = task["result"]
    return result


async def _repeated(platform: Platform) -> int:
    """Executions whose last attempt began after an earlier one had written: what would be doubled."""
    connection = await asyncpg.connect(platform.postgres_url, server_settings={"search_path": "sutazai"})
    try:
        number: int = await connection.fetchval(
            "SELECT count(*) FROM agent_executions e JOIN ("
            " SELECT user_id, execution_id, at FROM memory_acts"
            " UNION ALL SELECT user_id, execution_id, at FROM thoughts"
            " ) written ON written.user_id = e.user_id AND written.execution_id = e.id WHERE written.at < e.started_at"
        )
    finally:
        await connection.close()
    return number


def _counted(answers: Answers, graph: Mapping[str, list[str]], thoughts: Mapping[int, str]) -> dict[str, Target]:
    observed, thought = Counter(graph["all"]), Counter(thoughts.values())
    told_twice = Counter(answers.places.values())
    # Where somebody was told nothing, it may be they who made it.
    misled = [name for name, count in answers.made.items() if count > 1 or not (count or answers.unsure_of[name])]
    return {
        "tasks that did not end": exactly(answers.not_ended, 0),
        "observations answered and lost": exactly(sum(not observed[text] for text in answers.added), 0),
        "observations twice": exactly(sum(count > 1 for count in observed.values()), 0),
        "observations answered as not new": exactly(sum(new != [text] for text, new in answers.added.items()), 0),
        "thoughts answered and lost": exactly(sum(not thought[text] for text in answers.places), 0),
        "thoughts twice": exactly(sum(count > 1 for count in thought.values()), 0),
        "thoughts elsewhere than answered": exactly(
            sum(thoughts.get(place) != text for text, place in answers.places.items()), 0
        ),
        "places given twice": exactly(sum(count > 1 for count in told_twice.values()), 0),
        "gaps between places": exactly(len(thoughts) - max(thoughts, default=0), 0),
        "entities lost": exactly(sum(name not in graph for name in answers.made), 0),
        "entities made by none or by two": exactly(len(misled), 0),
    }


async def storm(turns: int, seed: int, seconds: float) -> dict[str, Target]:
    """One run: each turn is three writes; every kill is by -9."""
    with tempfile.TemporaryDirectory(prefix="sutazai-chaos-") as folder:
        Path(folder).chmod(0o755)
        with Platform(Path(folder) / "home", SUTAZAI_WORKERS="2") as platform:
            async with Client(platform.api) as client:
                return await _storm(platform, client, turns, seed, seconds)


async def _storm(platform: Platform, client: Client, turns: int, seed: int, seconds: float) -> dict[str, Target]:
    answers, calmed, gate = Answers(), asyncio.Event(), asyncio.Semaphore(CALLERS)
    await _read(client, "memory", "create_entities", {"entities": [_entity("all")]})
    killer, began = asyncio.create_task(_kill(platform, seed, calmed)), time.monotonic()

    async def turn(number: int) -> None:
        await asyncio.sleep(number * seconds / turns)
        async with gate:
            await Caller(client, answers).turn(number)

    await asyncio.gather(*map(turn, range(turns)))
    calmed.set()
    kills = await killer
    graph, thoughts = await _kept(client)
    print(
        f"seed {seed}: {3 * turns} writes in {time.monotonic() - began:.0f} s under {kills} kills;"
        f" {answers.unanswered} were told nothing, {await _repeated(platform)} ran again after they had written"
    )
    answered = len(answers.added) + len(answers.places)
    return {
        **_counted(answers, graph, thoughts),
        "kills": at_least(kills, 1),
        "share of writes answered": at_least(answered / (2 * turns), 0.75),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1000, help="turns, of three writes each")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=1.0)
    asked = parser.parse_args()
    worst: dict[str, Target] = {}
    for seed in range(asked.seeds):
        for key, target in asyncio.run(storm(asked.tasks, seed, asked.minutes * 60)).items():
            choose = min if target.kind == "at least" else max
            worst[key] = choose(worst.get(key, target), target, key=lambda t: abs(t.value))
    return report("chaos-memory", worst)


if __name__ == "__main__":
    sys.exit(main())
