"""Answers that take several rounds: what is said meanwhile, what the client is asked, and how it ends a call."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from shared.asgi import Answer
from shared.connected import WhileConnected
from shared.dialogue import KINDS, SILENT, CannotAsk, Dialogue, Questions
from shared.mcp.conversation import Conversation, Unanswered, asked_level, level_in_session
from shared.mcp.headers import takes_events
from shared.mcp.resuming import tag_of
from shared.mcp.server import Exchange, Result
from shared.mcp.stream import EVENTS, streamed
from shared.mcp.tools import error_members
from shared.mcp.wire import CAPABILITIES_KEY, INVALID_PARAMS, MISSING_CAPABILITY, RpcError
from shared.strict_json import dump

if TYPE_CHECKING:
    from shared.mcp.endpoint import McpEndpoint

# Whoever asks again and again is not going to end.
_MOST_ROUNDS: Final = 20

Act = Callable[[], Awaitable[Result | Questions]]


async def talked(
    server: "McpEndpoint", exchange: Exchange, subject: bytes, act: Act, *, talks: bool = True
) -> Result | Answer:
    """`subject` is what the request is about: answers to questions count for the same again."""
    streams = talks and takes_events(exchange.request)
    exchange.dialogue = _dialogue(server, exchange, subject, streams=streams)
    level = asked_level(exchange)
    if exchange.session is not None:
        level = level_in_session((await server.sessions.recall(exchange.session.id)).level)
    conversation = Conversation(exchange, level=level, is_heard=streams)
    exchange.watcher = conversation if talks else None
    work = _rounds(server, exchange, subject, act, conversation)
    if exchange.session is not None:
        work = _cancellable(server, exchange, work)
    if conversation.is_heard or (exchange.legacy is not None and exchange.dialogue.kinds):
        settled = server.settled(exchange, work)
        if exchange.session is not None and exchange.session.is_resumable:
            assert exchange.message.id is not None
            name = server.handles.stream(exchange.session, exchange.message.id)
            return await server.resumables.streamed(
                settled, conversation.outbox, exchange.request, name=name, tag=tag_of(exchange.message.id)
            )
        return await streamed(settled, conversation.outbox, exchange.request)
    with WhileConnected(exchange.request):
        return await work


def _dialogue(server: "McpEndpoint", exchange: Exchange, subject: bytes, *, streams: bool) -> Dialogue:
    if exchange.legacy is not None:
        # They are asked on the stream, so without one they cannot be.
        session = exchange.session
        return Dialogue(session.kinds) if session is not None and streams else SILENT
    params = exchange.message.params
    answers, state = params.get("inputResponses", {}), params.get("requestState")
    if not isinstance(answers, dict) or not all(isinstance(answer, dict) for answer in answers.values()):
        raise RpcError(INVALID_PARAMS, "inputResponses is not an object of objects")
    if not isinstance(state, str | None):
        raise RpcError(INVALID_PARAMS, "requestState is not a string")
    before = SILENT if state is None else server.handles.resumed(exchange.caller.user_id, subject, state)
    if before is None:
        raise RpcError(INVALID_PARAMS, "requestState is over, or none that was given out for this request")
    declared = (exchange.message.meta or {}).get(CAPABILITIES_KEY)
    kinds = KINDS & declared.keys() if isinstance(declared, dict) else frozenset[str]()
    return Dialogue(kinds, {**before.answers, **answers}, before.state)


async def _rounds(
    server: "McpEndpoint", exchange: Exchange, subject: bytes, act: Act, conversation: Conversation
) -> Result | Answer:
    for _ in range(_MOST_ROUNDS):
        try:
            result = await act()
        except CannotAsk as error:
            raise missing_capability(str(error.details["capability"])) from None
        if isinstance(result, Result):
            if result.failed and conversation.lacking is not None and exchange.legacy is None:
                raise missing_capability(conversation.lacking)
            return result
        if exchange.legacy is None:
            return _input_required(server, exchange, subject, result)
        try:
            answers = await conversation.asked(result.requests, exchange, server.handles, server.mailboxes)
        except Unanswered as error:
            if exchange.message.method != "tools/call":
                raise RpcError(INVALID_PARAMS, error.message) from None
            # A model may do something else instead.
            return Result(error_members(error.message), failed=True)
        known = {**exchange.dialogue.answers, **answers}
        exchange.dialogue = replace(exchange.dialogue, answers=known, state=result.state)
    raise RpcError(INVALID_PARAMS, f"this asked its client {_MOST_ROUNDS} times and was not done")


def missing_capability(capability: str) -> RpcError:
    said = f"the client has not declared {capability!r}, without which this cannot be done"
    return RpcError(MISSING_CAPABILITY, said, data={"requiredCapabilities": {capability: {}}})


def _input_required(server: "McpEndpoint", exchange: Exchange, subject: bytes, questions: Questions) -> Result:
    state = server.handles.state(exchange.caller.user_id, subject, exchange.dialogue, questions.state)
    if state is None:
        raise RpcError(INVALID_PARAMS, "what was answered by now is too large to be carried on")
    members = b'"inputRequests":%b,"requestState":"%b"' % (dump(dict(questions.requests)), state.encode())
    return Result(members, type=b"input_required")


async def _cancellable(
    server: "McpEndpoint", exchange: Exchange, work: Coroutine[Any, Any, Result | Answer]
) -> Result | Answer:
    """Until the client says that it no longer wants it, to whichever replica."""
    assert exchange.session is not None and exchange.message.id is not None
    task = asyncio.create_task(work)
    try:
        async with server.mailboxes.opened(server.handles.call(exchange.session, exchange.message.id)) as box:
            told = asyncio.create_task(box.receive())
            try:
                await asyncio.wait((task, told), return_when=asyncio.FIRST_COMPLETED)
            finally:
                told.cancel()
                await asyncio.gather(told, return_exceptions=True)
        # What was cancelled is not answered: a stream that ends without one says so, and is over.
        return task.result() if task.done() else Answer(200, headers=EVENTS)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
