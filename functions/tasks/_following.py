"""One task's changes as server-sent events, for as long as its owner listens."""

import asyncio
from collections.abc import AsyncGenerator
from uuid import UUID

from shared import strict_json
from shared.function import Caller
from shared.ports.live import SessionWatch, TaskChange, TaskFeed
from shared.ports.tasks import TERMINAL

# Proxies end what is silent for long.
HEARTBEAT_S = 15.0
_HEARTBEAT = b": still here\n\n"
_RETRY = b"retry: 1000\n\n"


class Following:
    def __init__(self, task_id: UUID, caller: Caller, feed: TaskFeed, watch: SessionWatch) -> None:
        self._task_id = task_id
        self._caller = caller
        self._feed = feed
        self._watch = watch
        self._after = 0
        self._waiting: list[TaskChange] = []
        self._news = asyncio.Event()
        self._out = False
        self.has_ended = False

    async def open(self, after: int) -> bool:
        """`after`: the last change that is known. False where the caller has no such task."""
        self._after = after
        history = await self._feed.history(self._caller.user_id, self._task_id, after=0)
        if history is None:
            return False
        ends = [change.sequence for change in history if change.status in TERMINAL]
        self.has_ended = any(sequence is not None and sequence <= after for sequence in ends)
        return True

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        user_id = self._caller.user_id
        yield _RETRY
        async with self._feed.watching(user_id, self._hear), self._watch.watching(self._caller, self._end):
            # What comes from now on is heard, so what the record holds now leaves no gap.
            changes = await self._feed.history(user_id, self._task_id, after=self._after) or ()
            while True:
                for change in changes:
                    if self._is_new(change):
                        yield _event(change)
                    if change.status in TERMINAL:
                        return
                if self._out:
                    return
                changes = await self._heard()
                if not changes and not self._out:
                    yield _HEARTBEAT

    async def _heard(self) -> list[TaskChange]:
        """Nothing when it is time for a sign of life."""
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                await self._news.wait()
        except TimeoutError:
            return []
        self._news.clear()
        heard, self._waiting = self._waiting, []
        return heard

    def _is_new(self, change: TaskChange) -> bool:
        if change.sequence is None:
            return True
        is_new = change.sequence > self._after
        self._after = max(self._after, change.sequence)
        return is_new

    def _hear(self, change: TaskChange) -> None:
        if change.task_id != self._task_id:
            return
        # Of progress that nobody has read yet, only the last counts.
        if change.sequence is None and self._waiting and self._waiting[-1].sequence is None:
            self._waiting.pop()
        self._waiting.append(change)
        self._news.set()

    def _end(self, _why: str) -> None:
        self._out = True
        self._news.set()


def _event(change: TaskChange) -> bytes:
    shown = strict_json.dump(
        {
            "task_id": str(change.task_id),
            "progress": round(change.progress, 1),
            "status": change.status,
            "message": change.message,
            "sequence": change.sequence,
            "timestamp": change.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
    )
    number = b"" if change.sequence is None else b"id: %d\n" % change.sequence
    return b"%bevent: task_progress\ndata: %b\n\n" % (number, shown)
