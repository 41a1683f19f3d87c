"""GET /api/v1/tasks/{task_id}/events: what happens to one task, as it happens."""

from uuid import UUID

from functions.tasks._following import Following
from shared.errors import Invalid, NotFound
from shared.function import Call, Caller, http
from shared.payload import Payload
from shared.ports.live import SessionWatch, TaskFeed
from shared.streams import Stream


class StreamTaskEvents(Payload):
    task_id: UUID


@http("GET", "/api/v1/tasks/{task_id}/events", scope="tasks:read", envelope=False)
async def stream_task_events(
    request: StreamTaskEvents, *, caller: Caller, call: Call, task_feed: TaskFeed, watch: SessionWatch
) -> Stream:
    """Server-sent events named `task_progress`: its changes so far, then live ones, until it has ended.

    `id` counts its changes: whoever comes back with the last one as Last-Event-ID gets those after it, and 204 once
    none can follow. Progress in between has no `id`.
    """
    after = _sequence(call.last_event_id)
    following = Following(request.task_id, caller, task_feed, watch)
    if not await following.open(after):
        raise NotFound(f"no task {request.task_id!s}")
    return Stream(pieces=following.pieces(), status=204 if following.has_ended else 200)


def _sequence(last_event_id: str | None) -> int:
    if last_event_id is None:
        return 0
    if not (last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) <= 9):
        raise Invalid("Last-Event-ID is none of ours", field="Last-Event-ID")
    return int(last_event_id)
