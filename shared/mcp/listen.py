"""subscriptions/listen: a stream of what a client has asked to be told, for as long as it stays."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

from shared.identity import authorize
from shared.mcp.server import Exchange
from shared.mcp.tasks import READ_SCOPE, McpTasks, check_declared
from shared.mcp.wire import INVALID_PARAMS, RpcError
from shared.ports.live import SessionWatch, TaskChange, TaskFeed
from shared.ports.tasks import TERMINAL
from shared.strict_json import Json, dump

SUBSCRIPTION_KEY: Final = "io.modelcontextprotocol/subscriptionId"
# Each is looked up at the start, and held for as long as the stream lives.
MOST_TASKS: Final = 100
# Proxies end what is silent for long.
HEARTBEAT_S: Final = 15.0
_HEARTBEAT: Final = b": still here\n\n"
_ACKNOWLEDGED: Final = "notifications/subscriptions/acknowledged"
_TASK: Final = "notifications/tasks"


class Listening:
    """One stream. What changes while the client reads slowly is told once, as it is by then: nothing piles up."""

    def __init__(self, id: bytes, exchange: Exchange, tasks: McpTasks, feed: TaskFeed, watch: SessionWatch) -> None:
        self._meta = b'"_meta":{"%b":%b}' % (SUBSCRIPTION_KEY.encode(), id)
        self._id = id
        self._message = exchange.message
        self._caller = exchange.caller
        self._tasks = tasks
        self._feed = feed
        self._watch = watch
        # Those that are followed, and those of them that have news, in the order of it.
        self._followed: set[str] = set()
        self._changed: dict[str, None] = {}
        self._news = asyncio.Event()
        self._out = False

    @classmethod
    async def open(cls, id: bytes, exchange: Exchange, tasks: McpTasks) -> "Listening":
        """Raises RpcError and Forbidden."""
        stream = cls(id, exchange, tasks, await tasks.opened(TaskFeed), await tasks.opened(SessionWatch))
        for task_id in _task_ids(exchange):
            # In the order they were asked for; what the caller does not have is not agreed to.
            if await tasks.detailed(exchange.caller, task_id, exchange.message) is not None:
                stream._followed.add(task_id)
                stream._changed[task_id] = None
        return stream

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        agreed: dict[str, Json] = {"taskIds": [*self._changed]} if self._changed else {}
        yield self._notified(_ACKNOWLEDGED, b'"notifications":%b' % dump(agreed))
        async with (
            self._feed.watching(self._caller.user_id, self._hear),
            self._watch.watching(self._caller, self._end),
        ):
            # From now on changes are heard, so each task is told as it stands: none falls in between.
            self._news.set()
            while await self._has_news():
                changed, self._changed = self._changed, {}
                for task_id in changed:
                    members = await self._tasks.detailed(self._caller, task_id, self._message)
                    if members is not None:
                        yield self._notified(_TASK, members)
                if not changed:
                    yield _HEARTBEAT
        result = b'{"jsonrpc":"2.0","id":%b,"result":{"resultType":"complete",%b}}' % (self._id, self._meta)
        yield b"data: %b\n\n" % result

    async def _has_news(self) -> bool:
        """False once the caller may hear no more; True without any when it is time for a sign of life."""
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                await self._news.wait()
        except TimeoutError:
            return True
        self._news.clear()
        return not self._out

    def _hear(self, change: TaskChange) -> None:
        # Progress is not told on this stream.
        task_id = str(change.task_id)
        if change.seq is not None and task_id in self._followed:
            self._changed[task_id] = None
            self._news.set()
            if change.status in TERMINAL:
                self._followed.discard(task_id)

    def _end(self, _why: str) -> None:
        self._out = True
        self._news.set()

    def _notified(self, method: str, params: bytes) -> bytes:
        return b'data: {"jsonrpc":"2.0","method":"%b","params":{%b,%b}}\n\n' % (method.encode(), params, self._meta)


def _task_ids(exchange: Exchange) -> list[str]:
    """Without doubles. What else may be asked for never changes here, so it is agreed to by nobody."""
    wanted = exchange.message.params.get("notifications")
    if not isinstance(wanted, dict):
        raise RpcError(INVALID_PARAMS, "notifications is not an object")
    if "taskIds" not in wanted:
        return []
    check_declared(exchange.message)
    authorize(exchange.caller, READ_SCOPE)
    ids = wanted["taskIds"]
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        raise RpcError(INVALID_PARAMS, "taskIds is not a list of strings")
    if len(ids) > MOST_TASKS:
        raise RpcError(INVALID_PARAMS, f"taskIds names more than {MOST_TASKS} tasks")
    return list(dict.fromkeys(str(one) for one in ids))
