"""What tasks, documents and users add to the graph."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from events.documents import DocumentDeleted, DocumentIndexed, DocumentReceived
from shared.ports.document_ties import Mention
from shared.ports.graph import MOST_SIMILAR, Edge, Node, Plain, Ref, Star

# Of a longer document the first ones are shown; all of them lie with its vectors.
MOST_CHUNKS = 1000
_TITLE_CHARACTERS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A task as the graph sees it. `ended`: its last status, once it has one."""

    user_id: UUID
    task_id: UUID
    agent: str
    tool: str
    version: int
    created_at: datetime
    ended: str | None
    finished_at: datetime | None


def task_star(task: Done, used: Collection[Ref]) -> Star:
    me, owner = Ref("Task", str(task.task_id)), Ref("User", str(task.user_id))
    properties: dict[str, Plain] = {"agent": task.agent, "tool": task.tool, "created_at": task.created_at.isoformat()}
    if task.ended is not None and task.finished_at is not None:
        properties |= {"status": task.ended, "finished_at": task.finished_at.isoformat()}
    edges = [Edge("CREATED", owner, me), Edge("EXECUTES", Ref("Agent", task.agent), me)]
    edges += [Edge("USED", me, one) for one in sorted(used, key=lambda ref: (ref.kind, ref.id)) if one != me]
    return Star(
        user_id=task.user_id,
        subject="Task",
        id=me.id,
        version=task.version,
        nodes=(Node("Task", me.id, properties),),
        edges=tuple(edges),
    )


def document_star(event: DocumentReceived | DocumentIndexed | DocumentDeleted) -> Star:
    if isinstance(event, DocumentDeleted):
        return Star(user_id=event.user_id, subject="Document", id=str(event.document_id), version=3)
    me, owner = Ref("Document", str(event.document_id)), Ref("User", str(event.user_id))
    indexed = isinstance(event, DocumentIndexed)
    properties: dict[str, Plain] = {
        "title": event.title[:_TITLE_CHARACTERS],
        "collection": event.collection,
        "chunks": event.chunks,
        "status": "indexed" if indexed else "received",
    }
    shown = [f"{event.document_id}:{number}" for number in range(min(event.chunks, MOST_CHUNKS) if indexed else 0)]
    edges = [Edge("OWNS", owner, me)]
    if event.task_id is not None:
        edges.append(Edge("PRODUCES", Ref("Task", str(event.task_id)), me))
    return Star(
        user_id=event.user_id,
        subject="Document",
        id=me.id,
        version=2 if indexed else 1,
        nodes=(
            Node("Document", me.id, properties),
            *(Node("Chunk", one, {"position": number}) for number, one in enumerate(shown)),
        ),
        edges=(*edges, *(Edge("OWNS", me, Ref("Chunk", one)) for one in shown)),
    )


def user_star(user_id: UUID) -> Star:
    return Star(user_id=user_id, subject="User", id=str(user_id), version=1, nodes=(Node("User", str(user_id)),))


def similar_star(user_id: UUID, document_id: UUID, scores: Mapping[UUID, float]) -> Star:
    """The highest count, and of equal ones those with the lower ids. Of a pair one has the edge."""
    me = Ref("Document", str(document_id))
    near = sorted((-score, str(other)) for other, score in scores.items() if other != document_id)
    return Star(
        user_id=user_id,
        subject="Similar",
        id=me.id,
        version=1,
        edges=tuple(
            Edge("SIMILAR_TO", me, Ref("Document", other), round(-score, 6)) for score, other in near[:MOST_SIMILAR]
        ),
    )


def mentions_star(user_id: UUID, document_id: UUID, mentions: Collection[Mention]) -> Star:
    me = Ref("Document", str(document_id))
    refs = sorted({one.ref for one in mentions} - {me}, key=lambda ref: (ref.kind, ref.id))
    edges = tuple(Edge("MENTIONS", me, ref) for ref in refs)
    return Star(user_id=user_id, subject="Mentions", id=me.id, version=1, edges=edges)
