"""What a socket is subscribed to."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack

from functions.realtime._frames import Channel, Subscribe, Unsubscribe, agent_frame, dumped, task_frame
from shared.errors import Conflict, Unavailable
from shared.function import Caller
from shared.identity import authorize
from shared.ports.live import AgentChange, AgentFeed, TaskChange, TaskFeed
from shared.streams import Closed, Connection

logger = logging.getLogger("sutazai.realtime")

SCOPES: dict[Channel, str] = {
    "agent_updates": "agents:read",
    "task_status": "tasks:read",
    "notifications": "notifications:read",
}
# A replay is written as fast as it is read; so much may happen meanwhile.
_MOST_HELD = 5_000


class TaskStatus:
    """Changes of tasks on one socket: what was missed, then what happens, each once and in order."""

    def __init__(self, connection: Connection, feed: TaskFeed, caller: Caller) -> None:
        self._connection = connection
        self._feed = feed
        self._user_id = caller.user_id
        self._stack = AsyncExitStack()
        self._held: list[TaskChange] | None = []
        self._last = 0
        self._missed: AsyncIterator[Sequence[TaskChange]] | None = None
        self._first: Sequence[TaskChange] = ()

    async def open(self, after: int | None) -> None:
        """From then on nothing is lost. Raises Invalid for a place that nobody was told of."""
        async with AsyncExitStack() as stack:
            upto = await stack.enter_async_context(self._feed.watching(self._user_id, self._hear))
            self._last = upto if after is None else after
            if after is not None:
                self._missed = self._feed.replay(self._user_id, after=after, upto=upto)
                async for page in self._missed:
                    self._first = page
                    break
            self._stack = stack.pop_all()

    async def catch_up(self) -> None:
        for change in self._first:
            await self._send(change)
        self._first = ()
        if self._missed is not None:
            async for page in self._missed:
                for change in page:
                    await self._send(change)
        while self._held:
            held, self._held = self._held, []
            for change in held:
                await self._send(change)
        self._held = None

    async def close(self) -> None:
        await self._stack.aclose()

    async def _send(self, change: TaskChange) -> None:
        if change.seq is not None and change.seq > self._last:
            self._last = change.seq
            await self._connection.send(task_frame(change))

    def _hear(self, change: TaskChange) -> None:
        if self._held is not None:
            self._held.append(change)
            if len(self._held) > _MOST_HELD:
                self._connection.close(1013, "the reader is too slow")
        elif change.seq is None:
            self._connection.push(task_frame(change))
        elif change.seq > self._last:
            self._last = change.seq
            self._connection.push(task_frame(change))


class Subscriptions:
    """The channels of one socket; each is closed by its own stack."""

    def __init__(self, connection: Connection, *, tasks: TaskFeed, agents: AgentFeed) -> None:
        self._connection = connection
        self._tasks = tasks
        self._agents = agents
        self._open: dict[Channel, AsyncExitStack] = {}
        self._catching_up: asyncio.Task[None] | None = None

    async def subscribe(self, frame: Subscribe, caller: Caller) -> None:
        """Answers, then lets come what was missed. Raises Forbidden, Conflict and Invalid, having changed nothing."""
        for channel in frame.channels:
            authorize(caller, SCOPES[channel])
        new = [channel for channel in dict.fromkeys(frame.channels) if channel not in self._open]
        if frame.last_seq is not None and "task_status" in set(frame.channels) - set(new):
            raise Conflict("task_status is subscribed already, and its changes come once", field="last_seq")
        status = TaskStatus(self._connection, self._tasks, caller)
        if "task_status" in new:
            await status.open(frame.last_seq)
        self._open.update({channel: AsyncExitStack() for channel in new})
        if "task_status" in new:
            self._open["task_status"].push_async_callback(self._leave, status)
        await self._connection.send(_answer("subscribed", self._open, frame.request_id))
        if "task_status" in new:
            self._catching_up = asyncio.create_task(self._catch_up(status))
        if "agent_updates" in new:
            await self._open["agent_updates"].enter_async_context(self._agents.watching(caller.user_id, self._told))

    async def unsubscribe(self, frame: Unsubscribe) -> None:
        await self._drop(frame.channels)
        await self._connection.send(_answer("unsubscribed", self._open, frame.request_id))

    async def close(self) -> None:
        await self._drop(tuple(self._open))

    async def _drop(self, channels: Sequence[Channel]) -> None:
        for channel in channels:
            if stack := self._open.pop(channel, None):
                await stack.aclose()

    def _told(self, change: AgentChange) -> None:
        self._connection.push(agent_frame(change))

    async def _catch_up(self, status: TaskStatus) -> None:
        """Beside the reader: however much was missed, commands and pings are answered meanwhile."""
        try:
            await status.catch_up()
        except Closed as closed:
            self._connection.close(closed.code, closed.reason)
        except Unavailable:
            self._connection.close(1013, "the record cannot be reached now")
        except Exception:
            logger.exception("a replay failed")
            self._connection.close(1011, "something went wrong on our side")

    async def _leave(self, status: TaskStatus) -> None:
        if self._catching_up is not None:
            self._catching_up.cancel()
            await asyncio.gather(self._catching_up, return_exceptions=True)
        await status.close()


def _answer(kind: str, channels: Iterable[Channel], request_id: str | None) -> str:
    """With all channels that are subscribed now."""
    return dumped({"type": kind, "channels": [*channels], **({"request_id": request_id} if request_id else {})})
