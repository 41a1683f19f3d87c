"""What is said on one socket, frame by frame, once its user is known."""

import asyncio
import logging
from contextlib import AsyncExitStack
from typing import Self

from functions.realtime._channels import Subscriptions
from functions.realtime._commands import LONGEST_S, Commands
from functions.realtime._entrance import UNAUTHORIZED, Entrance
from functions.realtime._frames import (
    Auth,
    BadFrame,
    Command,
    Frame,
    Ping,
    Subscribe,
    Unsubscribe,
    dumped,
    error_frame,
    failure_frame,
    frame_of,
    result_frame,
)
from shared.errors import RateLimited, SutazaiError, TimedOut
from shared.function import Caller
from shared.ports.limits import Limits
from shared.ports.live import SessionWatch, TaskFeed
from shared.streams import Closed, Connection
from shared.strict_json import Json

logger = logging.getLogger("sutazai.realtime")

_PONG = '{"type":"pong"}'
# Commands under way at once; each may wait for a task.
_MOST_COMMANDS = 16


class Conversation:
    """Use as an async context, with the caller that the first frame proved."""

    def __init__(
        self,
        connection: Connection,
        caller: Caller,
        *,
        entrance: Entrance,
        watch: SessionWatch,
        limits: Limits,
        feed: TaskFeed,
        commands: Commands,
        subscriptions: Subscriptions,
    ) -> None:
        self._connection = connection
        self.caller = caller
        self._entrance = entrance
        self._watch = watch
        self._limits = limits
        self._feed = feed
        self._commands = commands
        self._subscriptions = subscriptions
        self._watching = AsyncExitStack()
        self._running: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self._begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._watching.aclose()
        await self._subscriptions.close()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def hear(self, text: str) -> None:
        """Answers one frame. Raises Closed."""
        try:
            await self._heard(frame_of(text))
        except BadFrame as bad:
            await self._connection.send(bad.answer)

    async def _heard(self, frame: Frame) -> None:
        match frame:
            case Ping():
                await self._connection.send(_PONG)
            case Command():
                await self._start(frame)
            case Subscribe() | Unsubscribe():
                await self._change(frame)
            case Auth():
                await self._renew(frame)

    async def _change(self, frame: Subscribe | Unsubscribe) -> None:
        try:
            if isinstance(frame, Subscribe):
                await self._subscriptions.subscribe(frame, self.caller)
            else:
                await self._subscriptions.unsubscribe(frame)
        except SutazaiError as error:
            await self._connection.send(error_frame(error, frame.request_id))

    async def _renew(self, frame: Auth) -> None:
        """A socket outlives its token where a newer one of the same user comes in time."""
        caller = await self._entrance.prove(frame)
        if caller.user_id != self.caller.user_id:
            raise Closed(UNAUTHORIZED, "this token is another user's")
        self.caller = caller
        await self._watching.aclose()
        await self._begin()

    async def _begin(self) -> None:
        ended = self._watch.watching(self.caller, lambda why: self._connection.close(UNAUTHORIZED, why))
        await self._watching.enter_async_context(ended)
        last_seq = await self._feed.last_seq(self.caller.user_id)
        ready: Json = {"type": "ready", "user_id": str(self.caller.user_id), "last_seq": last_seq}
        await self._connection.send(dumped(ready))

    async def _start(self, command: Command) -> None:
        """Beside the reader, so that a command which waits holds up nothing."""
        if len(self._running) >= _MOST_COMMANDS:
            error = RateLimited(
                f"{_MOST_COMMANDS} commands of this socket are under way", limit=_MOST_COMMANDS, retry_after=1
            )
            await self._connection.send(failure_frame(command.request_id, error))
            return
        task = asyncio.create_task(self._run(command))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, command: Command) -> None:
        caller = self.caller
        try:
            await self._admit(caller)
            async with asyncio.timeout(LONGEST_S):
                answer = result_frame(command.request_id, await self._commands.run(command, caller))
        except SutazaiError as error:
            answer = failure_frame(command.request_id, error)
        except TimeoutError:
            answer = failure_frame(command.request_id, TimedOut("the command took too long"))
        except Exception:
            logger.exception("%s failed", command.command)
            answer = failure_frame(command.request_id, SutazaiError("something went wrong on our side"))
        await self._connection.send(answer)

    async def _admit(self, caller: Caller) -> None:
        """A command counts as the request that it stands for. Raises RateLimited."""
        quota = await self._limits.take(str(caller.user_id), caller.tier)
        if quota is not None and not quota.admitted:
            raise quota.refusal(f"no more than {quota.limit} requests an hour are answered")
