"""`make chaos C=sockets`: a client drops its socket at random while its tasks run, and must miss and repeat nothing."""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, WebSocketException

from tests.report import Target, at_least, exactly, report
from tests.system.platform import Client, Platform

_STATUS = {
    "task.submitted.v1": "queued",
    "task.started.v1": "running",
    "task.requeued.v1": "queued",
    "task.succeeded.v1": "succeeded",
    "task.failed.v1": "failed",
    "task.cancelled.v1": "cancelled",
    "task.expired.v1": "expired",
}
_ENDS = ("succeeded", "failed", "cancelled", "expired")
Change = tuple[int, str, str]


@dataclass
class Watcher:
    """Keeps what it is told, and asks for what follows the last of it whenever it comes back."""

    platform: Platform
    token: str
    dice: random.Random
    drops: int
    seen: list[Change] = field(default_factory=list)
    dropped: int = 0
    ended: int = 0

    async def watch(self, tasks: int) -> None:
        while self.ended < tasks:
            try:
                address = self.platform.api.replace("http", "ws", 1) + "/ws"
                # A client whose own queue is full does not see that its close was answered.
                async with connect(address, proxy=None, compression=None, open_timeout=5, max_queue=None) as wire:
                    await self._stay(wire, tasks)
            # The gateway may be down just now, or the connection gone.
            except (OSError, InvalidHandshake, WebSocketException):
                await asyncio.sleep(0.02)

    async def _stay(self, wire: ClientConnection, tasks: int) -> None:
        """Until the dice say otherwise: some sockets go before they are even ready."""
        frames_left = self.dice.choice([0, 1, 2, *range(5, 60, 5)])
        leaves_at = time.monotonic() + self.dice.uniform(0.0, 0.4)
        last = self.seen[-1][0] if self.seen else 0
        await wire.send(json.dumps({"type": "auth", "token": self.token}))
        await wire.send(json.dumps({"type": "subscribe", "channels": ["task_status"], "last_seq": last}))
        while self.ended < tasks:
            if self.dropped < self.drops and (frames_left <= 0 or time.monotonic() >= leaves_at):
                self.dropped += 1
                if self.dice.random() < 0.7:
                    wire.transport.abort()
                return
            try:
                async with asyncio.timeout(0.05):
                    frame = json.loads(await wire.recv())
            except TimeoutError:
                continue
            frames_left -= 1
            self._take(frame)

    def _take(self, frame: dict[str, Any]) -> None:
        assert frame["type"] in ("ready", "subscribed", "task_progress"), frame
        if frame["type"] == "task_progress" and frame["seq"] is not None:
            self.seen.append((frame["seq"], frame["task_id"], frame["status"]))
            self.ended += frame["status"] in _ENDS


async def _submit(platform: Platform, client: Client, tasks: int, seconds: float, dice: random.Random) -> None:
    """In small batches over the time, each under a key until it is accepted."""
    sizes = [min(10, tasks - start) for start in range(0, tasks, 10)]
    for number, size in enumerate(sizes):
        one = {"agent_id": "everything", "task": "ledger", "parameters": {"duration_ms": dice.randrange(0, 200)}}
        began = time.monotonic()
        while True:
            try:
                answer = await client.http.post(
                    f"{platform.api}/api/v1/agents/execute",
                    json={"tasks": [one] * size},
                    headers={"Idempotency-Key": f"batch-{number}"},
                )
                if answer.status_code == 202:
                    break
                assert answer.status_code in (429, 500, 503, 504), answer.text
            except (httpx.TransportError, FileNotFoundError):
                pass
            await asyncio.sleep(0.1)
        await asyncio.sleep(max(0.0, seconds / len(sizes) - (time.monotonic() - began)))


async def _kill_gateways(platform: Platform, watcher: Watcher, every: int) -> int:
    kills = 0
    while True:
        await asyncio.sleep(0.1)
        if watcher.dropped >= (kills + 1) * every and (pids := platform.pids().get("gateway")):
            platform.kill(pids[0])
            kills += 1


async def _recorded(platform: Platform) -> list[Change]:
    connection = await asyncpg.connect(platform.postgres_url)
    try:
        rows = await connection.fetch(
            "SELECT seq, subject, type FROM sutazai.events WHERE type LIKE 'task.%' ORDER BY seq"
        )
        return [(row["seq"], row["subject"], _STATUS[row["type"]]) for row in rows]
    finally:
        await connection.close()


def _judged(watcher: Watcher, recorded: list[Change]) -> dict[str, Target]:
    seen = Counter(watcher.seen)
    courses: dict[str, list[int]] = defaultdict(list)
    for seq, task_id, _ in watcher.seen:
        courses[task_id].append(seq)
    return {
        "changes missed": exactly(len(set(recorded) - set(seen)), 0),
        "changes seen twice": exactly(sum(count - 1 for count in seen.values()), 0),
        "changes that nothing recorded": exactly(len(set(seen) - set(recorded)), 0),
        "tasks told out of order": exactly(sum(course != sorted(course) for course in courses.values()), 0),
        "sockets dropped": at_least(watcher.dropped, watcher.drops),
    }


async def storm(tasks: int, drops: int, seed: int, *, kill_every: int = 40) -> dict[str, Target]:
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="sutazai-chaos-") as folder:
        Path(folder).chmod(0o755)
        with Platform(Path(folder) / "home") as platform:
            async with Client(platform.api) as client:
                token = client.http.headers["authorization"].removeprefix("Bearer ")
                watcher = Watcher(platform, token, dice, drops)
                killing = asyncio.create_task(_kill_gateways(platform, watcher, kill_every))
                try:
                    async with asyncio.timeout(60 + drops), asyncio.TaskGroup() as group:
                        group.create_task(watcher.watch(tasks))
                        group.create_task(_submit(platform, client, tasks, drops * 0.2, dice))
                finally:
                    killing.cancel()
                print(f"seed {seed}: {tasks} tasks, {watcher.dropped} drops, {len(watcher.seen)} changes seen")
                return _judged(watcher, await _recorded(platform))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=1)
    asked = parser.parse_args()
    worst: dict[str, Target] = {}
    for seed in range(asked.seeds):
        for key, target in asyncio.run(storm(asked.tasks, max(asked.tasks // 10, 1), seed)).items():
            pick = min if target.kind == "at least" else max
            worst[key] = pick(worst.get(key, target), target, key=lambda one: one.value)
    return report("chaos-sockets", worst)


if __name__ == "__main__":
    sys.exit(main())
